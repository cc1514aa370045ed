//! The path of a route, with parameters.

use std::fmt;

/// Segments in `<…>` are parameters: they match any text that isn't empty. Paths are matched and
/// parameters returned as they were sent, percent-encoded: `a%2Fb` is one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathPattern(&'static str);

impl PathPattern {
    pub const fn new(text: &'static str) -> PathPattern {
        PathPattern(text)
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }

    pub fn matches(self, path: &str) -> bool {
        let mut segments = path.split('/');
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
    pub fn param<'p>(self, path: &'p str, name: &str) -> Option<&'p str> {
        let mut pairs = self.0.split('/').zip(path.split('/'));
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

    #[test]
    fn a_path_matches_by_its_segments() {
        assert!(CHANNELS.matches("/channels"));
        assert!(MEMBER.matches("/channels/a%2Fb/members/ann"));
        for unknown in [
            "",
            "*",
            "/",
            "/channels/",
            "//channels",
            "/channels//members/u",
        ] {
            assert!(!CHANNELS.matches(unknown), "{unknown}");
            assert!(!MEMBER.matches(unknown), "{unknown}");
        }
    }

    #[test]
    fn parameters_stay_percent_encoded() {
        for raw in ["a%2Fb", "%00", "%ff", "a+b", "é"] {
            let path = format!("/channels/{raw}/members/ann");
            assert!(MEMBER.matches(&path));
            assert_eq!(MEMBER.param(&path, "c"), Some(raw));
            assert_eq!(MEMBER.param(&path, "u"), Some("ann"));
        }
        assert_eq!(MEMBER.param("/channels/a/members/ann", "x"), None);
    }
}
