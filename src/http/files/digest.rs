//! The SHA-256 that a client declares: `Digest` (RFC 3230), `Content-Digest` and `Repr-Digest`
//! (RFC 9530).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use lakechat_core::domain::{Code, Problem};

/// The SHA-256 in the headers. Other algorithms are ignored, as both RFCs require. Malformed or
/// contradicting headers are refused, so that no upload goes unchecked by mistake.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let mut found = None;
    for name in ["digest", "content-digest", "repr-digest"] {
        for value in headers.get_all(name) {
            let items = value.to_str().map_err(|_| invalid(name))?.split(',');
            for item in items {
                let Some(sum) = sha256(name, item).ok_or_else(|| invalid(name))? else {
                    continue;
                };
                if found.replace(sum).is_some_and(|other| other != sum) {
                    return Err(invalid(name));
                }
            }
        }
    }
    Ok(found)
}

/// None: malformed. Some(None): another algorithm.
fn sha256(header: &str, item: &str) -> Option<Option<[u8; 32]>> {
    let (algorithm, value) = item.trim_ascii().split_once('=')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return Some(None);
    }
    let text = match header {
        "digest" => value,
        _ => value.strip_prefix(':')?.strip_suffix(':')?,
    };
    let sum = BASE64_STANDARD.decode(text).ok()?;
    Some(Some(sum.try_into().ok()?))
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
        for (name, value) in [
            ("digest", format!("SHA-256={EMPTY}")),
            (
                "digest",
                format!("md5=1B2M2Y8AsgTpgAmY7PhCfg==, sha-256={EMPTY}"),
            ),
            ("content-digest", format!("sha-256=:{EMPTY}:")),
            ("repr-digest", format!("sha-512=:AAAA:, sha-256=:{EMPTY}:")),
        ] {
            let sum = read(&[(name, value.clone())]).expect("well formed");
            assert_eq!(
                hex::encode(sum.expect("found"))[..8],
                *"e3b0c442",
                "{value}"
            );
        }
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
            ("content-digest", format!("sha-256={EMPTY}")),
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
