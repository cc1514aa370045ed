//! `Upload-Metadata`: what a client says of a file, as pairs of a key and a text in base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use super::headers::{UPLOAD_METADATA, one};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::files::{FileName, MediaType};

/// The name of a file whose client says none.
const DEFAULT_NAME: &str = "file";

pub(super) struct Metadata {
    pub name: FileName,
    pub media_type: Option<MediaType>,
    /// The header as it was sent.
    pub text: String,
}

impl Metadata {
    /// Reads the name from `filename` or `name`, the type from `filetype` or `type`: clients differ.
    pub fn of(lines: &HeaderMap) -> Result<Metadata, Problem> {
        let text = one(lines, &UPLOAD_METADATA, "upload-metadata")?.unwrap_or_default();
        let pairs = pairs(text)?;
        let value = |keys: [&str; 2]| {
            let found = keys.map(|key| pairs.iter().find(|(known, _)| *known == key));
            found
                .into_iter()
                .flatten()
                .next()
                .map(|(_, value)| value.clone())
        };
        let name = match value(["filename", "name"]) {
            Some(bytes) => String::from_utf8(bytes).map_err(|_| FileName::invalid())?,
            None => DEFAULT_NAME.to_owned(),
        };
        // Clients send what a browser knows of the file, which may be the empty string.
        let media_type = value(["filetype", "type"])
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| MediaType::parse(&text).ok());
        Ok(Metadata {
            name: FileName::parse(name)?,
            media_type,
            text: text.to_owned(),
        })
    }
}

fn pairs(text: &str) -> Result<Vec<(&str, Vec<u8>)>, Problem> {
    let invalid = || {
        let text = "Upload-Metadata is a list of different keys, each with a value in base64 after a space: \
                    `filename YS50eHQ=,filetype dGV4dC9wbGFpbg==`.";
        Problem::new(Code::FieldInvalid, text).field("upload-metadata")
    };
    let mut pairs: Vec<(&str, Vec<u8>)> = Vec::new();
    if text.trim().is_empty() {
        return Ok(pairs);
    }
    for pair in text.split(',') {
        let pair = pair.trim();
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64_STANDARD
            .decode(value.trim())
            .map_err(|_| invalid())?;
        if key.is_empty() || pairs.iter().any(|(known, _)| *known == key) {
            return Err(invalid());
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), Code> {
        let lines = [(UPLOAD_METADATA, text.parse().expect("a value"))];
        let metadata = Metadata::of(&lines.into_iter().collect()).map_err(|p| p.code)?;
        assert_eq!(metadata.text, text);
        let media_type = metadata.media_type.map(MediaType::into_string);
        Ok((metadata.name.into_string(), media_type))
    }

    #[test]
    fn name_and_type_are_found_under_the_keys_of_all_clients() {
        let plain = Some("text/plain".to_owned());
        let file = |name: &str, media_type| Ok((name.to_owned(), media_type));
        assert_eq!(
            read("filename YS50eHQ=,filetype dGV4dC9wbGFpbg=="),
            file("a.txt", plain.clone())
        );
        assert_eq!(
            read("type dGV4dC9wbGFpbg==, name YS50eHQ="),
            file("a.txt", plain)
        );
        assert_eq!(
            read("name Yg==,filename YQ==,is_confidential"),
            file("a", None)
        );
        assert_eq!(read("filename 5pel5pys,filetype"), file("日本", None));
        assert_eq!(read(""), file("file", None));
    }

    #[test]
    fn malformed_metadata_and_impossible_names_are_refused() {
        for wrong in ["filename ?", "filename YQ", "a YQ==,a YQ==", ",", "a YQ==,"] {
            assert_eq!(read(wrong), Err(Code::FieldInvalid), "{wrong}");
        }
        // Empty, NUL, not UTF-8.
        for wrong in ["filename", "filename AA==", "filename /w=="] {
            assert_eq!(read(wrong), Err(Code::FileNameInvalid), "{wrong}");
        }
    }
}
