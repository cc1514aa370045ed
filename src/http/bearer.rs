//! The token of an `Authorization: Bearer` header (RFC 6750).

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use lakechat_core::domain::{Code, Problem};

/// The token; `not_authenticated` unless the request has one such header.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (Some(value), None) => bearer_token(value),
        _ => None,
    };
    token.ok_or_else(|| {
        let text =
            "This call requires one header Authorization: Bearer <token>; log in to get a token.";
        Problem::new(Code::NotAuthenticated, text)
    })
}

/// The scheme is case-insensitive (RFC 9110, 11.1).
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let pair = |v: &&str| (AUTHORIZATION, v.parse().expect("a header value"));
        values.iter().map(pair).collect()
    }

    #[test]
    fn the_bearer_is_found_whatever_the_scheme_looks_like() {
        for good in ["Bearer abc", "bearer abc", "BEARER  abc"] {
            assert_eq!(bearer(&headers(&[good])).ok(), Some("abc"), "{good}");
        }
    }

    #[test]
    fn without_one_bearer_nobody_is_authenticated() {
        let bad: [&[&str]; 6] = [
            &[],
            &["Basic YTpi"],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Bearer a", "Bearer b"],
        ];
        for values in bad {
            let problem = bearer(&headers(values)).expect_err("no bearer");
            assert_eq!(problem.code, Code::NotAuthenticated, "{values:?}");
        }
    }
}
