//! The conditions of a download (RFC 9110, 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::HeaderMap;

use lakechat_core::domain::{Code, File, Problem};

/// What a client compares to find out whether it has this file.
pub(super) struct Validators {
    pub etag: ETag,
    /// In whole seconds, like dates in headers.
    modified: SystemTime,
}

/// How a request's conditions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Met,
    /// The client has the file already.
    NotModified,
}

impl Validators {
    pub fn of(file: &File) -> Validators {
        let quoted = format!("\"{}\"", hex::encode(file.sha256));
        Validators {
            etag: quoted.parse().expect("hex digits in quotes"),
            modified: UNIX_EPOCH + Duration::from_secs(file.created_at_ms / 1000),
        }
    }

    pub fn last_modified(&self) -> LastModified {
        self.modified.into()
    }

    /// Evaluates the conditions in the order of RFC 9110, 13.2.2. A condition that isn't well formed
    /// doesn't count.
    pub fn evaluate(&self, headers: &HeaderMap) -> Result<Condition, Problem> {
        if let Some(condition) = headers.typed_get::<IfMatch>() {
            if !condition.precondition_passes(&self.etag) {
                let text = "The file doesn't have an ETag that If-Match names.";
                return Err(failed(text, "if-match"));
            }
        } else if let Some(condition) = headers.typed_get::<IfUnmodifiedSince>()
            && !condition.precondition_passes(self.modified)
        {
            let text = "The file was uploaded after the date in If-Unmodified-Since.";
            return Err(failed(text, "if-unmodified-since"));
        }
        let is_known = if let Some(condition) = headers.typed_get::<IfNoneMatch>() {
            !condition.precondition_passes(&self.etag)
        } else if let Some(condition) = headers.typed_get::<IfModifiedSince>() {
            !condition.is_modified(self.modified)
        } else {
            false
        };
        Ok(match is_known {
            true => Condition::NotModified,
            false => Condition::Met,
        })
    }

    /// Whether a part of this file fits what the client has: it does unless `If-Range` names another
    /// file, or nothing that can be compared.
    pub fn range_fits(&self, headers: &HeaderMap) -> bool {
        match headers.typed_try_get::<IfRange>() {
            Ok(None) => true,
            Ok(Some(condition)) => {
                let modified = self.last_modified();
                !condition.is_modified(Some(&self.etag), Some(&modified))
            }
            Err(_) => false,
        }
    }
}

fn failed(text: &'static str, field: &'static str) -> Problem {
    Problem::new(Code::PreconditionFailed, text).field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Thu, 01 Jan 1970 00:16:39 GMT";
    const THEN: &str = "Thu, 01 Jan 1970 00:16:40 GMT";

    fn validators() -> Validators {
        Validators {
            etag: "\"abc\"".parse().expect("an ETag"),
            modified: UNIX_EPOCH + Duration::from_secs(1000),
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    fn evaluated(lines: &[(&'static str, &'static str)]) -> Result<Condition, Code> {
        let evaluated = validators().evaluate(&headers(lines));
        evaluated.map_err(|problem| problem.code)
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
        ] {
            assert_eq!(evaluated(lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn dates_count_where_no_etag_is_given() {
        let (met, known) = (Ok(Condition::Met), Ok(Condition::NotModified));
        let failed = Err(Code::PreconditionFailed);
        for (lines, wanted) in [
            (&[("if-modified-since", THEN)][..], known),
            (&[("if-modified-since", BEFORE)], met),
            (&[("if-modified-since", "yesterday")], met),
            (&[("if-unmodified-since", THEN)], met),
            (&[("if-unmodified-since", BEFORE)], failed),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", THEN)],
                met,
            ),
            (
                &[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)],
                met,
            ),
            (
                &[("if-unmodified-since", THEN), ("if-modified-since", THEN)],
                known,
            ),
        ] {
            assert_eq!(evaluated(lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_part_is_only_for_those_who_have_the_rest() {
        for (value, wanted) in [
            (None, true),
            (Some("\"abc\""), true),
            (Some(THEN), true),
            (Some("\"x\""), false),
            (Some("W/\"abc\""), false),
            (Some(BEFORE), false),
            (Some("abc"), false),
        ] {
            let lines: Vec<_> = value.iter().map(|value| ("if-range", *value)).collect();
            assert_eq!(
                validators().range_fits(&headers(&lines)),
                wanted,
                "{value:?}"
            );
        }
    }
}
