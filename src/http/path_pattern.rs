//! The path of a route, with parameters.

use std::fmt;

use crate::http::url_path::UrlPath;

/// Segments in `<…>` are parameters: they match any text that isn't empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathPattern(&'static str);

impl PathPattern {
    pub const fn new(text: &'static str) -> PathPattern {
        PathPattern(text)
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub fn matches(self, path: &UrlPath) -> bool {
        let mut segments = path.segments();
        let all = self.0.split('/').all(|expected| {
            segments.next().is_some_and(|segment| {
                if expected.starts_with('<') {
                    !segment.is_empty()
                } else {
                    segment == expected
                }
            })
        });
        all && segments.next().is_none()
    }

    /// The segment of `path` in the place of `<name>`.
    pub fn param<'p>(self, path: &'p UrlPath, name: &str) -> Option<&'p str> {
        let mut pairs = self.0.split('/').zip(path.segments());
        let is_param = |expected: &str| {
            let inner = expected.strip_prefix('<').and_then(|e| e.strip_suffix('>'));
            inner == Some(name)
        };
        pairs.find_map(|(expected, segment)| is_param(expected).then_some(segment))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: PathPattern = PathPattern::new("/channels");
    const MEMBER: PathPattern = PathPattern::new("/channels/<c>/members/<u>");

    fn path(text: &str) -> UrlPath {
        UrlPath::parse(text)
    }

    #[test]
    fn a_path_matches_by_its_segments() {
        assert!(CHANNELS.matches(&path("/channels")));
        assert!(CHANNELS.matches(&path("/ch%61nnels")));
        assert!(MEMBER.matches(&path("/channels/a%2Fb/members/ann")));
        for unknown in [
            "",
            "*",
            "/",
            "/channels/",
            "//channels",
            "%2Fchannels",
            "/channels//members/u",
        ] {
            assert!(!CHANNELS.matches(&path(unknown)), "{unknown}");
            assert!(!MEMBER.matches(&path(unknown)), "{unknown}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let path = path("/channels/a%2Fb/members/%61nn");
        assert_eq!(MEMBER.param(&path, "c"), Some("a/b"));
        assert_eq!(MEMBER.param(&path, "u"), Some("ann"));
        assert_eq!(MEMBER.param(&path, "x"), None);
    }
}
