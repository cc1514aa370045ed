//! The headers of tus.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use headers::{Expires, HeaderMapExt};
use http::HeaderMap;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};

use lakechat_core::domain::{Code, FileId, Problem};
use lakechat_core::files::{Checksum, UploadStatus};

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");

pub(super) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue = HeaderValue::from_static(
    "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation",
);
const ALGORITHMS: HeaderValue = HeaderValue::from_static("sha256,sha1");
const BYTES: &str = "application/offset+octet-stream";
const ONE: HeaderValue = HeaderValue::from_static("1");

/// What `Upload-Concat` makes of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concat {
    Partial,
    /// A file of these uploads, in this order.
    Final(Vec<FileId>),
}

pub(super) fn expect_version(lines: &HeaderMap) -> Result<(), Problem> {
    if lines.get(TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let text = "This server speaks tus 1.0.0: send Tus-Resumable: 1.0.0.";
    Err(Problem::new(Code::TusVersionUnsupported, text).field("tus-resumable"))
}

/// The length in a request that creates an upload; `None` if it is to follow.
pub(super) fn new_length(lines: &HeaderMap) -> Result<Option<u64>, Problem> {
    let deferred = lines.get(UPLOAD_DEFER_LENGTH);
    match (length(lines)?, deferred) {
        (Some(length), None) => Ok(Some(length)),
        (None, Some(deferred)) if *deferred == ONE => Ok(None),
        (None, None) => {
            let text = "Send Upload-Length, or Upload-Defer-Length: 1.";
            Err(Problem::new(Code::FieldMissing, text).field("upload-length"))
        }
        (_, Some(_)) => {
            let text = "Upload-Defer-Length is 1, and stands without Upload-Length.";
            Err(Problem::new(Code::FieldInvalid, text).field("upload-defer-length"))
        }
    }
}

pub(super) fn length(lines: &HeaderMap) -> Result<Option<u64>, Problem> {
    number(lines, &UPLOAD_LENGTH, "upload-length")
}

pub(super) fn offset(lines: &HeaderMap) -> Result<u64, Problem> {
    number(lines, &UPLOAD_OFFSET, "upload-offset")?.ok_or_else(|| {
        let text = "Upload-Offset is missing; HEAD tells where to continue.";
        Problem::new(Code::FieldMissing, text).field("upload-offset")
    })
}

fn number(
    lines: &HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<u64>, Problem> {
    let Some(value) = one(lines, name, field)? else {
        return Ok(None);
    };
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| is_number);
    number.map(Some).ok_or_else(|| {
        let text = format!("{field} is a whole number of bytes.");
        Problem::new(Code::FieldInvalid, text).field(field)
    })
}

/// The value of a header that may occur once.
pub(super) fn one<'a>(
    lines: &'a HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = lines.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let Some(first) = first else {
        return Ok(None);
    };
    match (first.to_str(), second) {
        (Ok(text), None) => Ok(Some(text)),
        _ => {
            let text = format!("{field} occurs once, and is ASCII.");
            Err(Problem::new(Code::FieldInvalid, text).field(field))
        }
    }
}

pub(super) fn content_length(lines: &HeaderMap) -> Option<u64> {
    lines.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a request that creates an upload has bytes of it. Another body than an empty one is refused.
pub(super) fn has_bytes(lines: &HeaderMap) -> Result<bool, Problem> {
    let is_empty = content_length(lines).unwrap_or(0) == 0;
    if is_empty && !lines.contains_key(TRANSFER_ENCODING) {
        return Ok(false);
    }
    expect_bytes(lines).map(|()| true)
}

/// Refuses a body that is not the bytes of an upload as they are.
pub(super) fn expect_bytes(lines: &HeaderMap) -> Result<(), Problem> {
    let kind = lines.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BYTES)) {
        let text = format!("The bytes of an upload need Content-Type: {BYTES}.");
        return Err(Problem::new(Code::MediaTypeUnsupported, text).field("content-type"));
    }
    expect_no_encoding(lines)
}

pub(super) fn expect_no_encoding(lines: &HeaderMap) -> Result<(), Problem> {
    if lines.get(CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        let text = "Files are stored as sent; send the body without Content-Encoding.";
        return Err(Problem::new(Code::MediaTypeUnsupported, text).field("content-encoding"));
    }
    Ok(())
}

/// The checksum of the request's body.
pub(super) fn checksum(lines: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    let invalid = || {
        let text = "Upload-Checksum is sha256 or sha1, a space, and the sum in base64.";
        Problem::new(Code::FieldInvalid, text).field("upload-checksum")
    };
    let Some(value) = one(lines, &UPLOAD_CHECKSUM, "upload-checksum")? else {
        return Ok(None);
    };
    let (algorithm, sum) = value.split_once(' ').ok_or_else(invalid)?;
    let sum = BASE64_STANDARD.decode(sum).map_err(|_| invalid())?;
    let checksum = match algorithm {
        "sha256" => sum.try_into().ok().map(Checksum::Sha256),
        "sha1" => sum.try_into().ok().map(Checksum::Sha1),
        _ => None,
    };
    checksum.map(Some).ok_or_else(invalid)
}

pub(super) fn concat(lines: &HeaderMap) -> Result<Option<Concat>, Problem> {
    let Some(value) = one(lines, &UPLOAD_CONCAT, "upload-concat")? else {
        return Ok(None);
    };
    if value == "partial" {
        return Ok(Some(Concat::Partial));
    }
    let urls = value
        .strip_prefix("final;")
        .map(str::split_ascii_whitespace);
    let ids = urls.and_then(|urls| urls.map(upload_id).collect());
    ids.map(|ids| Some(Concat::Final(ids))).ok_or_else(|| {
        let text = "Upload-Concat is `partial`, or `final;` and the URLs of partial uploads, each after a space.";
        Problem::new(Code::FieldInvalid, text).field("upload-concat")
    })
}

/// The id in the URL of an upload, which may be relative.
fn upload_id(url: &str) -> Option<FileId> {
    let (before, id) = url.rsplit_once('/')?;
    let id = FileId::parse_given(id);
    id.filter(|_| before.ends_with("/uploads"))
}

/// What the server can do.
pub(super) fn describe_server(lines: &mut HeaderMap, max_bytes: u64) {
    for (name, value) in [
        (TUS_RESUMABLE, VERSION),
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, EXTENSIONS),
        (TUS_MAX_SIZE, max_bytes.into()),
        (TUS_CHECKSUM_ALGORITHM, ALGORITHMS),
    ] {
        lines.insert(name, value);
    }
}

/// How far an upload has come, and until when it is kept.
pub(super) fn describe_progress(lines: &mut HeaderMap, status: &UploadStatus) {
    lines.insert(UPLOAD_OFFSET, status.offset.into());
    if let Some(at_ms) = status.expires_at_ms {
        // The format of this date is the same as that of Expires.
        lines.typed_insert(Expires::from(UNIX_EPOCH + Duration::from_millis(at_ms)));
        let date = lines.remove(EXPIRES).expect("it was inserted");
        lines.insert(UPLOAD_EXPIRES, date);
    }
}

/// All that is known of an upload.
pub(super) fn describe_upload(lines: &mut HeaderMap, status: &UploadStatus) {
    describe_progress(lines, status);
    match status.length {
        Some(length) => lines.insert(UPLOAD_LENGTH, length.into()),
        None => lines.insert(UPLOAD_DEFER_LENGTH, ONE),
    };
    if let Ok(metadata) = HeaderValue::try_from(&status.metadata)
        && !metadata.is_empty()
    {
        lines.insert(UPLOAD_METADATA, metadata);
    }
    if status.is_partial {
        lines.insert(UPLOAD_CONCAT, HeaderValue::from_static("partial"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut lines = HeaderMap::new();
        for (name, value) in pairs {
            lines.append(name, value.parse().expect("a value"));
        }
        lines
    }

    fn code<T>(read: Result<T, Problem>) -> Result<T, Code> {
        read.map_err(|problem| problem.code)
    }

    #[test]
    fn length_is_a_number_or_deferred() {
        let read = |pairs: &[_]| code(new_length(&lines(pairs)));
        assert_eq!(read(&[(UPLOAD_LENGTH, "007")]), Ok(Some(7)));
        assert_eq!(read(&[(UPLOAD_DEFER_LENGTH, "1")]), Ok(None));
        assert_eq!(read(&[]), Err(Code::FieldMissing));
        for wrong in ["", "-1", "+1", "1.5", "x", "18446744073709551616"] {
            assert_eq!(read(&[(UPLOAD_LENGTH, wrong)]), Err(Code::FieldInvalid));
        }
        let twice = [(UPLOAD_LENGTH, "7"), (UPLOAD_LENGTH, "7")];
        assert_eq!(read(&twice), Err(Code::FieldInvalid));
        let both = [(UPLOAD_LENGTH, "7"), (UPLOAD_DEFER_LENGTH, "1")];
        assert_eq!(read(&both), Err(Code::FieldInvalid));
        assert_eq!(read(&[(UPLOAD_DEFER_LENGTH, "0")]), Err(Code::FieldInvalid));
    }

    #[test]
    fn checksum_has_an_algorithm_and_a_sum_of_its_size() {
        let read = |value| code(checksum(&lines(&[(UPLOAD_CHECKSUM, value)])));
        let sha1 = "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
        assert!(matches!(read(sha1), Ok(Some(Checksum::Sha1(_)))));
        let sha256 = "sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(matches!(read(sha256), Ok(Some(Checksum::Sha256(_)))));
        for wrong in [
            "",
            "sha1",
            "sha256 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "md5 AAAA",
            "sha1 ?",
        ] {
            assert_eq!(read(wrong), Err(Code::FieldInvalid), "{wrong}");
        }
    }

    #[test]
    fn final_upload_names_partial_ones_by_their_urls() {
        let read = |value: &str| code(concat(&lines(&[(UPLOAD_CONCAT, value)])));
        let (a, b) = (FileId::random(), FileId::random());
        assert_eq!(read("partial"), Ok(Some(Concat::Partial)));
        let urls = format!("final;/uploads/{a} https://chat.example:8/x/uploads/{b}");
        assert_eq!(read(&urls), Ok(Some(Concat::Final(vec![a, b]))));
        for wrong in [
            "",
            "whole",
            "final",
            "final;x",
            &format!("final;/files/{a}"),
        ] {
            assert_eq!(read(wrong), Err(Code::FieldInvalid), "{wrong}");
        }
    }
}
