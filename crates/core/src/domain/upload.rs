//! Resumable uploads, as their rows describe them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FileId, FilePart, UserName};

/// A file that arrives in several requests, until it is complete and has a row of its own under the same
/// id.
///
/// It is replaced as a whole, by compare-and-set. Therefore its list of parts decides which of several
/// concurrent requests appends, and what the offset is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: FileId,
    pub uploader: UserName,
    pub name: String,
    /// The type that the client gave.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the client said of the file, as it wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The size of the whole file in bytes; `None` until the client says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Whether it becomes a part of another file instead of a file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// The bytes received so far, in order.
    pub bytes: UploadBytes,
    /// The state of the SHA-256 of these bytes, in hex.
    pub sha256_state: String,
    pub created_at_ms: u64,
    /// When it is removed unless more arrives. Milliseconds since 1970.
    pub expires_at_ms: u64,
    pub state: UploadState,
}

/// Where the bytes of an upload are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadBytes {
    /// In the row: all of a small file.
    Inline(#[serde(serialize_with = "to_base64", deserialize_with = "from_base64")] Bytes),
    /// In the file store.
    Parts(Vec<FilePart>),
}

/// What becomes of an upload. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Further bytes may arrive.
    Open,
    /// All bytes have arrived. The row of the file may still be missing.
    Complete { at_ms: u64 },
    /// It has ended without a file, or its file was removed. Nothing follows on this state: a request
    /// that began before can't append any more. The parts are removed.
    Removed { at_ms: u64 },
}

impl Upload {
    /// How many bytes have arrived.
    pub fn offset(&self) -> u64 {
        match &self.bytes {
            UploadBytes::Inline(bytes) => bytes.len() as u64,
            UploadBytes::Parts(parts) => parts.iter().map(|part| part.size).sum(),
        }
    }

    /// The parts in the store.
    pub fn parts(&self) -> &[FilePart] {
        match &self.bytes {
            UploadBytes::Inline(_) => &[],
            UploadBytes::Parts(parts) => parts,
        }
    }
}

fn to_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = BASE64_STANDARD.decode(text);
    bytes.map(Bytes::from).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_is_read_as_it_was_written() {
        let mut upload = Upload {
            id: FileId::random(),
            uploader: UserName::parse("ann").expect("a name"),
            name: "a \"b\"\n".to_owned(),
            media_type: None,
            metadata: String::new(),
            length: None,
            is_partial: false,
            bytes: UploadBytes::Parts(Vec::new()),
            sha256_state: "00".to_owned(),
            created_at_ms: 1,
            expires_at_ms: 2,
            state: UploadState::Open,
        };
        let read = |upload: &Upload| {
            let json = serde_json::to_string(upload).expect("JSON");
            serde_json::from_str::<Upload>(&json).expect("the same")
        };
        assert_eq!(read(&upload), upload);
        assert_eq!(upload.offset(), 0);
        let part = |size| FilePart {
            path: "ab/x".to_owned(),
            size,
        };
        upload.bytes = UploadBytes::Parts(vec![part(3), part(4)]);
        upload.length = Some(7);
        upload.state = UploadState::Complete { at_ms: 3 };
        assert_eq!(read(&upload), upload);
        assert_eq!((upload.offset(), upload.parts().len()), (7, 2));
        upload.bytes = UploadBytes::Inline(Bytes::from_static(b"\0\xff"));
        upload.state = UploadState::Removed { at_ms: 3 };
        assert_eq!(read(&upload), upload);
        assert_eq!((upload.offset(), upload.parts().len()), (2, 0));
    }
}
