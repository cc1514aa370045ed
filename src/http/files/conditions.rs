//! The conditions of a download (RFC 9110, 13): `If-Match` and `If-None-Match`.

use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch};
use http::HeaderMap;

use lakechat_core::domain::{Code, Problem};

/// How a request's conditions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Met,
    /// The client has the file already.
    NotModified,
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2. Files have no modification date, so
/// conditions on dates don't count.
pub(super) fn evaluate(headers: &HeaderMap, etag: &ETag) -> Result<Condition, Problem> {
    let if_match = headers.typed_get::<IfMatch>();
    if if_match.is_some_and(|condition| !condition.precondition_passes(etag)) {
        let text = "The file doesn't have an ETag that If-Match names.";
        return Err(Problem::new(Code::PreconditionFailed, text).field("if-match"));
    }
    let if_none_match = headers.typed_get::<IfNoneMatch>();
    let is_known = if_none_match.is_some_and(|condition| !condition.precondition_passes(etag));
    Ok(match is_known {
        true => Condition::NotModified,
        false => Condition::Met,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluated(lines: &[(&'static str, &'static str)]) -> Result<Condition, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        let etag = "\"abc\"".parse().expect("an ETag");
        evaluate(&headers, &etag).map_err(|problem| problem.code)
    }

    #[test]
    fn a_known_etag_is_not_modified_and_a_wrong_one_fails() {
        let (met, known) = (Ok(Condition::Met), Ok(Condition::NotModified));
        let failed = Err(Code::PreconditionFailed);
        for (lines, wanted) in [
            (&[][..], met),
            (&[("if-none-match", "\"abc\"")], known),
            (&[("if-none-match", "\"x,y\", W/\"abc\"")], known),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")],
                known,
            ),
            (&[("if-none-match", "*")], known),
            (&[("if-none-match", "\"x\"")], met),
            (&[("if-none-match", "abc")], met),
            (&[("if-match", "\"abc\"")], met),
            (&[("if-match", "*")], met),
            (&[("if-match", "\"x\"")], failed),
            // If-Match compares strongly, and comes first.
            (&[("if-match", "W/\"abc\"")], failed),
            (
                &[("if-match", "\"x\""), ("if-none-match", "\"abc\"")],
                failed,
            ),
            (
                &[("if-match", "\"abc\""), ("if-none-match", "\"abc\"")],
                known,
            ),
            (
                &[("if-modified-since", "Mon, 01 Jan 2024 00:00:00 GMT")],
                met,
            ),
        ] {
            assert_eq!(evaluated(lines), wanted, "{lines:?}");
        }
    }
}
