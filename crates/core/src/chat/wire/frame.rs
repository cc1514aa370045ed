//! An encoded frame.

use bytes::Bytes;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The text of a frame for clients, encoded once. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Utf8Bytes);

impl Frame {
    /// Encodes a frame as compact JSON.
    pub(super) fn encode(frame: &impl Serialize) -> Frame {
        let text =
            serde_json::to_string(frame).expect("frames have string keys and finite numbers");
        text.into()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// Lets the frame hold memory until its last clone is gone.
    pub fn holding(self, memory: impl Send + 'static) -> Frame {
        let held = Held {
            text: self.0,
            _memory: memory,
        };
        let text = Utf8Bytes::try_from(Bytes::from_owner(held));
        Frame(text.expect("it was UTF-8 before"))
    }

    /// For the library that writes it.
    pub fn into_text(self) -> Utf8Bytes {
        self.0
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Frame {
        Frame(text.into())
    }
}

/// A text with its memory.
struct Held<M> {
    text: Utf8Bytes,
    _memory: M,
}

impl<M> AsRef<[u8]> for Held<M> {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed_memory::KeyedMemory;

    #[test]
    fn a_frame_holds_its_memory_until_its_last_clone_is_gone() {
        let memory = KeyedMemory::new(16 * 1024);
        let reserved = memory.try_reserve(&(), 2 * 1024).expect("free");
        let frame = Frame::from("x".to_owned()).holding(reserved);
        let copy = frame.clone();
        drop(frame);
        memory.try_reserve(&(), 1).expect_err("it is held");
        assert_eq!(copy.as_str(), "x");
        drop(copy);
        memory.try_reserve(&(), 1).expect("free again");
    }
}
