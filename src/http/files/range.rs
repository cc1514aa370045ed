//! The range of a download (RFC 9110, 14): one range of bytes.

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

use lakechat_core::domain::{Code, Problem};

/// The bytes that `Range` asks for, of a file of `size` bytes; `None` for all of them.
///
/// What RFC 9110 lets a server ignore is ignored: another unit, a range that isn't well formed, and
/// several ranges at once. An empty file has no ranges.
pub(super) fn requested(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, Problem> {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let spec = line.to_str().ok().and_then(Spec::parse);
    match spec {
        Some(spec) if size > 0 => {
            let range = spec.within(size);
            range.map(Some).ok_or_else(|| not_satisfiable(size))
        }
        _ => Ok(None),
    }
}

fn not_satisfiable(size: u64) -> Problem {
    let text = format!("The file has {size} bytes; the range starts past its end.");
    Problem::new(Code::RangeNotSatisfiable, text)
        .field("range")
        .limit(size)
}

/// A range as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// From the first position to the last, which belongs to it.
    Between(u64, u64),
    From(u64),
    /// So many bytes at the end.
    Last(u64),
}

impl Spec {
    fn parse(header: &str) -> Option<Spec> {
        let (unit, set) = header.split_once('=')?;
        // Elements of a list may be empty.
        let mut specs = set
            .split(',')
            .map(str::trim)
            .filter(|spec| !spec.is_empty());
        let (spec, None) = (specs.next()?, specs.next()) else {
            return None;
        };
        let (first, last) = spec.split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", last) => Some(Spec::Last(number(last)?)),
            (first, "") => Some(Spec::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::Between(first, last))
            }
        }
    }

    /// The range within a file; `None` if it has none of the file's bytes.
    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::Between(first, last) => first..last.saturating_add(1).min(size),
            Spec::From(first) => first..size,
            Spec::Last(count) => size.saturating_sub(count)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// A number of any length: no file reaches those above the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[&'static str], size: u64) -> Result<Option<Range<u64>>, Code> {
        let line = |text: &&'static str| (RANGE, http::HeaderValue::from_static(text));
        let headers = lines.iter().map(line).collect();
        requested(&headers, size).map_err(|problem| problem.code)
    }

    #[test]
    fn one_range_is_cut_to_the_file() {
        for (line, wanted) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=0-100", 0..100),
            ("bytes=10-19", 10..20),
            ("bytes=010-0019", 10..20),
            ("bytes=99-", 99..100),
            ("bytes=0-", 0..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-101", 0..100),
            ("bytes=5-18446744073709551615", 5..100),
            ("bytes=5-99999999999999999999999", 5..100),
            ("BYTES = 5-6", 5..7),
            ("bytes=,5-6 ,", 5..7),
        ] {
            assert_eq!(asked(&[line], 100), Ok(Some(wanted)), "{line}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_refused() {
        for line in [
            "bytes=100-",
            "bytes=100-100",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            let refused = Err(Code::RangeNotSatisfiable);
            assert_eq!(asked(&[line], 100), refused, "{line}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_asks_for_all() {
        for line in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=6-5",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "lines=1-2",
            "bytes=0-1,5-6",
            "bytes=0-1,500-600",
        ] {
            assert_eq!(asked(&[line], 100), Ok(None), "{line}");
        }
        assert_eq!(asked(&[], 100), Ok(None));
        assert_eq!(asked(&["bytes=0-1", "bytes=0-1"], 100), Ok(None));
        assert_eq!(asked(&["bytes=0-0"], 0), Ok(None));
        assert_eq!(asked(&["bytes=-1"], 0), Ok(None));
    }
}
