//! The digest of a record's content: by it, the fold distinguishes a retry from another message.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Body;
use crate::domain::{FileId, Id};

impl Body {
    /// The first 64 bits of the SHA-256 of `[kind,target,text,reply_to,file_id]` in compact JSON.
    /// Absent fields are null. The fields that only one kind has follow, in the order of the record:
    /// `emoji,on` of a reaction, `user,role` of a membership, `topic`.
    pub fn digest(&self) -> Digest {
        let kind = self.kind();
        match self {
            Body::Message {
                text,
                reply_to,
                file,
            } => Digest::of_message(text, *reply_to, file.as_ref().map(|f| f.id)),
            Body::Edit { target, text } => Digest::of(&(kind, target, text, ABSENT, ABSENT)),
            Body::Delete { target } => Digest::of(&(kind, target, ABSENT, ABSENT, ABSENT)),
            Body::React {
                target, emoji, on, ..
            } => Digest::of(&(kind, target, ABSENT, ABSENT, ABSENT, emoji, on)),
            Body::Member { user, role } => {
                Digest::of(&(kind, ABSENT, ABSENT, ABSENT, ABSENT, user, role))
            }
            Body::Topic { topic } => Digest::of(&(kind, ABSENT, ABSENT, ABSENT, ABSENT, topic)),
            Body::Archive => Digest::of(&(kind, ABSENT, ABSENT, ABSENT, ABSENT)),
        }
    }
}

/// A field that a kind doesn't have, in the content of a digest.
const ABSENT: Option<()> = None;

/// A hash of a send's content. It distinguishes a retry from a reused `client_msg_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u64);

impl Digest {
    /// The digest of a [`Body::Message`].
    pub fn of_message(text: &str, reply_to: Option<Id>, file: Option<FileId>) -> Digest {
        Digest::of(&("message", ABSENT, text, reply_to, file))
    }

    fn of(content: &impl Serialize) -> Digest {
        let content = serde_json::to_vec(content).expect("text and ids are always JSON");
        let hash = Sha256::digest(&content);
        Digest(u64::from_be_bytes(
            hash[..8].try_into().expect("a SHA-256 has 32 bytes"),
        ))
    }

    pub(super) fn parse(s: &str) -> Option<Digest> {
        let hex = s.len() == 16
            && s.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        hex.then(|| u64::from_str_radix(s, 16).ok().map(Digest))
            .flatten()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Role, UserName};

    #[test]
    fn digests_of_messages_and_their_changes_are_frozen() {
        let target = Id::from_u64(77).unwrap();
        let thanks = Digest::of_message("thanks, looking", None, None);
        assert_eq!(thanks.to_string(), "75daade265eca5ab");
        let text = "x".to_owned();
        let edit = Body::Edit { target, text }.digest();
        assert_eq!(edit.to_string(), "fb6fe416d3777ed4");
        assert_eq!(
            Body::Delete { target }.digest().to_string(),
            "7f0d886f225084b2"
        );
        assert_eq!(Body::Archive.digest().to_string(), "7750e5f3f6d3e1b7");
    }

    #[test]
    fn every_field_of_an_event_is_in_its_digest() {
        let target = Id::from_u64(77).unwrap();
        let react = |emoji: &str, on| Body::React {
            target,
            emoji: emoji.into(),
            on,
            before: None,
        };
        let member = |user, role| Body::Member {
            user: UserName::parse(user).unwrap(),
            role,
        };
        let topic = |topic: &str| Body::Topic {
            topic: topic.into(),
        };
        let bodies = [
            react("👍", true),
            react("👍", false),
            react("👎", true),
            member("bob", Role::Member),
            member("bob", Role::Admin),
            member("eve", Role::Member),
            topic("a"),
            topic("b"),
        ];
        let digests: std::collections::HashSet<_> = bodies.iter().map(Body::digest).collect();
        assert_eq!(digests.len(), bodies.len());
    }

    #[test]
    fn the_digest_is_of_the_documented_text() {
        let hash = Sha256::digest(br#"["message",null,"hi",null,null]"#);
        let body = Body::Message {
            text: "hi".into(),
            reply_to: None,
            file: None,
        };
        assert_eq!(body.digest().to_string(), hex::encode(&hash[..8]));
    }
}
