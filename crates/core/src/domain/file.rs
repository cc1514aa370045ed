//! Uploaded files, and how a message refers to one.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::UserName;

/// The id of a file: a random (v4) UUID, written in lower case with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(Uuid);

impl FileId {
    pub fn random() -> FileId {
        FileId(Uuid::new_v4())
    }

    /// Accepts only the canonical form: for ids that lakechat has written itself.
    pub fn parse(text: &str) -> Option<FileId> {
        FileId::parse_given(text).filter(|id| id.to_string() == text)
    }

    /// An id from a client: with hyphens, in either case (RFC 9562, 4).
    pub fn parse_given(text: &str) -> Option<FileId> {
        let id = Uuid::try_parse(text).ok()?;
        let canonical = id.hyphenated().to_string();
        canonical.eq_ignore_ascii_case(text).then_some(FileId(id))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The properties of a file that a message contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: FileId,
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// A media type such as `text/plain`.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// Where the bytes of a file are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    /// In a cell of the file's row, for small files.
    Inline(Bytes),
    /// In the file store, under this path within the store.
    Stored(String),
    /// In the file store, as several parts in this order.
    Parts(Vec<FilePart>),
}

/// A part of a file in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// The path within the store.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// A file as its row describes it. Only a complete file has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub id: FileId,
    /// The name that the uploader gave: 1 to 255 bytes of UTF-8 without NUL.
    pub name: String,
    /// In bytes.
    pub size: u64,
    pub sha256: [u8; 32],
    pub media_type: String,
    pub uploader: UserName,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    pub location: FileLocation,
}

impl File {
    /// The paths within the store that have its bytes.
    pub fn stored_paths(&self) -> impl Iterator<Item = &str> {
        let (whole, parts) = match &self.location {
            FileLocation::Inline(_) => (None, &[][..]),
            FileLocation::Stored(path) => (Some(path), &[][..]),
            FileLocation::Parts(parts) => (None, &parts[..]),
        };
        let parts = parts.iter().map(|part| &part.path);
        whole.into_iter().chain(parts).map(String::as_str)
    }

    pub fn attachment(&self) -> Attachment {
        Attachment {
            id: self.id,
            name: self.name.clone(),
            size: self.size,
            media_type: self.media_type.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_with_hyphens_and_its_case_does_not_matter_to_clients() {
        let id = FileId::random();
        let (lower, upper) = (id.to_string(), id.to_string().to_uppercase());
        assert_eq!(FileId::parse_given(&lower), Some(id));
        assert_eq!(FileId::parse_given(&upper), Some(id));
        assert_eq!(FileId::parse(&lower), Some(id));
        for bad in ["", "x", &lower.replace('-', ""), &format!("{{{lower}}}")] {
            assert_eq!(FileId::parse_given(bad), None, "{bad}");
        }
        let letters = "ABCDEFAB-0000-4000-8000-000000000000";
        assert!(FileId::parse_given(letters).is_some());
        assert_eq!(FileId::parse(letters), None);
    }
}
