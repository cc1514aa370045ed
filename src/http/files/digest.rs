//! The SHA-256 that a client declares: `Digest` (RFC 3230), `Content-Digest` and `Repr-Digest`
//! (RFC 9530).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use sfv::{Dictionary, ListEntry, Parser};

use lakechat_core::domain::{Code, Problem};

/// The SHA-256 in the headers. Other algorithms are ignored, as both RFCs require. Malformed or
/// contradicting headers are refused, so that no upload goes unchecked by mistake.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let mut found = None;
    for name in ["digest", "content-digest", "repr-digest"] {
        let lines = headers.get_all(name).iter().map(|line| line.as_bytes());
        let lines: Vec<_> = lines.collect();
        if lines.is_empty() {
            continue;
        }
        let value = lines.join(&b", "[..]);
        let sum = match name {
            "digest" => in_list(&value),
            _ => in_dictionary(&value),
        };
        let Some(sum) = sum.ok_or_else(|| invalid(name))? else {
            continue;
        };
        if found.replace(sum).is_some_and(|other| other != sum) {
            return Err(invalid(name));
        }
    }
    Ok(found)
}

/// Reads a structured field (RFC 9651). None: malformed. Some(None): only other algorithms.
fn in_dictionary(value: &[u8]) -> Option<Option<[u8; 32]>> {
    let dictionary: Dictionary = Parser::new(value).parse().ok()?;
    match dictionary.get("sha-256") {
        None => (!dictionary.is_empty()).then_some(None),
        Some(ListEntry::InnerList(_)) => None,
        Some(ListEntry::Item(item)) => {
            let sum = item.bare_item.as_byte_sequence()?;
            Some(Some(sum.try_into().ok()?))
        }
    }
}

/// Reads the list of RFC 3230. None: malformed, or two values for SHA-256. Some(None): only other
/// algorithms.
fn in_list(value: &[u8]) -> Option<Option<[u8; 32]>> {
    let mut found = None;
    for item in std::str::from_utf8(value).ok()?.split(',') {
        let (algorithm, text) = item.trim_ascii().split_once('=')?;
        if !algorithm.eq_ignore_ascii_case("sha-256") {
            continue;
        }
        let sum: [u8; 32] = BASE64_STANDARD.decode(text).ok()?.try_into().ok()?;
        if found.replace(sum).is_some_and(|other| other != sum) {
            return None;
        }
    }
    Some(found)
}

fn invalid(header: &'static str) -> Problem {
    let text = "A digest header must contain one SHA-256 in base64: `Digest: sha-256=…`, or \
                `Content-Digest: sha-256=:…:`.";
    Problem::new(Code::FieldInvalid, text).field(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn read(lines: &[(&'static str, String)]) -> Result<Option<[u8; 32]>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header"));
        }
        expected(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn each_header_names_the_sum_in_its_own_way() {
        let unpadded = EMPTY.trim_end_matches('=');
        for (name, value) in [
            ("digest", format!("SHA-256={EMPTY}")),
            (
                "digest",
                format!("md5=1B2M2Y8AsgTpgAmY7PhCfg==, sha-256={EMPTY}"),
            ),
            ("content-digest", format!("sha-256=:{EMPTY}:")),
            ("content-digest", format!("sha-256=:{unpadded}:")),
            (
                "content-digest",
                format!("sha-256=:{EMPTY}:;a=1;b=\"x, y\""),
            ),
            ("content-digest", format!("md5=x,  sha-256=:{EMPTY}:  ")),
            ("repr-digest", format!("sha-512=:AAAA:, sha-256=:{EMPTY}:")),
            // The last value of a key counts.
            (
                "repr-digest",
                format!("sha-256=:{ZEROS}:, sha-256=:{EMPTY}:"),
            ),
        ] {
            let sum = read(&[(name, value.clone())]).expect("well formed");
            assert_eq!(
                hex::encode(sum.expect("found"))[..8],
                *"e3b0c442",
                "{value}"
            );
        }
        let lines = [
            ("content-digest", "sha-512=:AAAA:".to_owned()),
            ("content-digest", format!("sha-256=:{EMPTY}:")),
        ];
        assert!(read(&lines).expect("well formed").is_some());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("digest", "sha-512=x".into())]), Ok(None));
    }

    #[test]
    fn malformed_or_contradicting_headers_are_refused() {
        for (name, value) in [
            ("digest", "sha-256".into()),
            ("digest", "sha-256=AAAA".into()),
            ("digest", "sha-256=???".into()),
            ("digest", format!("sha-256=:{EMPTY}:")),
            ("digest", format!("sha-256={EMPTY}, sha-256={ZEROS}")),
            ("content-digest", format!("sha-256={EMPTY}")),
            ("content-digest", format!("SHA-256=:{EMPTY}:")),
            ("content-digest", format!("sha-256=(:{EMPTY}:)")),
            ("content-digest", "sha-256=:AAAA:".into()),
            ("content-digest", "sha-256".into()),
            ("repr-digest", String::new()),
        ] {
            let answer = read(&[(name, value.clone())]);
            assert_eq!(answer, Err(Code::FieldInvalid), "{name}: {value}");
        }
        let both = [
            ("digest", format!("sha-256={EMPTY}")),
            ("repr-digest", format!("sha-256=:{ZEROS}:")),
        ];
        assert_eq!(read(&both), Err(Code::FieldInvalid));
    }
}
