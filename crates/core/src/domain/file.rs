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

    /// Accepts only the canonical form, so that each file has exactly one URL.
    pub fn parse(s: &str) -> Option<FileId> {
        let id = Uuid::try_parse(s).ok()?;
        (id.hyphenated().to_string() == s).then_some(FileId(id))
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
    pub fn attachment(&self) -> Attachment {
        Attachment {
            id: self.id,
            name: self.name.clone(),
            size: self.size,
            media_type: self.media_type.clone(),
        }
    }
}
