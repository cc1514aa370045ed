//! The transfer codings of a request (RFC 9112, 6.1).

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

use lakechat_core::domain::{Code, Problem};

/// Requires `chunked` as the only transfer coding, if there is one. hyper removes that coding and
/// leaves all others in the body.
pub fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let lines = headers.get_all(TRANSFER_ENCODING).iter();
    let items = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let codings: Vec<&[u8]> = items
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if !codings.iter().all(is_chunked) {
        let text = "The only transfer coding that is supported is chunked.";
        let problem = Problem::new(Code::TransferCodingUnsupported, text);
        return Err(problem.field("transfer-encoding"));
    }
    if codings.len() > 1 {
        let text = "A body can't be chunked more than once.";
        return Err(Problem::new(Code::BadRequest, text).field("transfer-encoding"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(lines: &[&'static str]) -> Result<(), Code> {
        let line = |line: &&'static str| (TRANSFER_ENCODING, http::HeaderValue::from_static(line));
        check(&lines.iter().map(line).collect()).map_err(|problem| problem.code)
    }

    #[test]
    fn chunked_is_the_only_coding_and_comes_once() {
        for good in [&[][..], &["chunked"], &[" Chunked ,"], &["", "CHUNKED"]] {
            assert_eq!(checked(good), Ok(()), "{good:?}");
        }
        for unknown in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked, gzip"],
            &["chunked;q=1"],
            &["identity"],
        ] {
            let refused = Err(Code::TransferCodingUnsupported);
            assert_eq!(checked(unknown), refused, "{unknown:?}");
        }
        for twice in [&["chunked, chunked"][..], &["chunked", "chunked"]] {
            assert_eq!(checked(twice), Err(Code::BadRequest), "{twice:?}");
        }
    }
}
