//! Files that people upload, and what a message carries of one.

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

    /// Only the canonical form: one file has one URL.
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

/// What a message says of the file it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: FileId,
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// A media type such as `text/plain`.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// Where a file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    /// A small file: a cell of its row.
    Inline(Bytes),
    /// A path within the file store.
    Stored(String),
}

/// A file as its row has it. There is a row only for a file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub id: FileId,
    /// As the uploader gave it, 1 to 255 bytes of any text without NUL.
    pub name: String,
    /// Bytes.
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
