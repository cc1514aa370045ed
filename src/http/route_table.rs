//! Which paths there are and what they take, said in one place.
//!
//! The table decides whether a path and a method exist, and gives each request the one label under
//! which it is logged and counted. warp's filters then pick the handler.

use http::{HeaderValue, Method};

use lakechat_core::domain::{Code, Problem};

/// One path: segments in `<…>` stand for anything that isn't empty.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub pattern: &'static str,
    /// All that it takes; HEAD only where it is listed.
    pub methods: &'static [Method],
}

/// Every path of a listener. Where two patterns match, the first counts.
#[derive(Clone, Copy, Debug)]
pub struct RouteTable(&'static [Route]);

impl RouteTable {
    pub const fn new(routes: &'static [Route]) -> RouteTable {
        RouteTable(routes)
    }

    pub fn find(&self, path: &str) -> Option<&'static Route> {
        self.0.iter().find(|route| route.matches(path))
    }
}

impl Route {
    /// The label of a path that is in no table: one for all, or a scanner would make thousands.
    pub const UNKNOWN: &'static str = "unknown";

    fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        let all = self.pattern.split('/').all(|expected| {
            let is_variable = expected.starts_with('<');
            segments.next().is_some_and(|found| {
                if is_variable {
                    !found.is_empty()
                } else {
                    found == expected
                }
            })
        });
        all && segments.next().is_none()
    }

    pub fn check_method(&self, method: &Method) -> Result<(), Problem> {
        if self.methods.contains(method) {
            return Ok(());
        }
        let text = format!("{} takes {}.", self.pattern, self.list());
        Err(Problem::new(Code::MethodNotAllowed, text))
    }

    /// The value of the Allow header.
    pub fn allow(&self) -> HeaderValue {
        HeaderValue::from_str(&self.list()).expect("method names are header text")
    }

    fn list(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: RouteTable = RouteTable::new(&[
        Route {
            pattern: "/channels",
            methods: &[Method::GET, Method::POST],
        },
        Route {
            pattern: "/channels/<c>/members/<u>",
            methods: &[Method::PUT],
        },
    ]);

    #[test]
    fn a_path_is_found_by_its_segments() {
        let find = |path| TABLE.find(path).map(|r| r.pattern);
        assert_eq!(find("/channels"), Some("/channels"));
        let member = Some("/channels/<c>/members/<u>");
        assert_eq!(find("/channels/a%2Fb/members/ann"), member);
        for unknown in [
            "",
            "*",
            "/",
            "/channels/",
            "//channels",
            "/channels//members/u",
        ] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_method_that_a_path_lacks_is_refused_with_what_it_has() {
        let route = TABLE.find("/channels").expect("it is there");
        assert!(route.check_method(&Method::GET).is_ok());
        let problem = route.check_method(&Method::HEAD).expect_err("not listed");
        assert_eq!(problem.code, Code::MethodNotAllowed);
        assert_eq!(route.allow(), "GET, POST");
    }
}
