//! The path of a request's URL.

use percent_encoding::percent_decode_str;

/// The segments of a path, percent-decoded, so that all spellings of a path are the same (RFC 3986,
/// 6.2.2.2). The path is split before it is decoded: `a%2Fb` is one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPath(Vec<String>);

impl UrlPath {
    /// Bytes that aren't UTF-8 become U+FFFD, which no name and no id contains.
    pub fn parse(path: &str) -> UrlPath {
        let decode = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        UrlPath(path.split('/').map(decode).collect())
    }

    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once_and_after_the_split() {
        let segments = |path| UrlPath::parse(path).0;
        assert_eq!(segments("/a%2Fb/%74eam%2da"), ["", "a/b", "team-a"]);
        assert_eq!(
            segments("/%252D/a+b/é/%C3%A9"),
            ["", "%2D", "a+b", "é", "é"]
        );
        assert_eq!(segments("/100%/%zz/%00"), ["", "100%", "%zz", "\0"]);
        assert_eq!(segments("/a%ffb"), ["", "a\u{fffd}b"]);
    }
}
