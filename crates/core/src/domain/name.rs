//! Names that users and clients choose: of channels, of users, and of a client's own messages.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The text is not a valid name of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidName;

fn is_plain_name(s: &str, max: usize) -> bool {
    let first = s.bytes().next();
    s.len() <= max
        && first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && s.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                $name::parse(&text).map_err(|InvalidName| serde::de::Error::custom($what))
            }
        }
    };
}

name!(
    /// The name of a channel: `[a-z0-9][a-z0-9._-]{0,63}`, or `dm:<a>:<b>` with two user names in
    /// ascending order. A name is never reused.
    ChannelName,
    "not the name of a channel"
);

name!(
    /// The name of a user: `[a-z0-9][a-z0-9._-]{0,31}`. A name is never reused.
    UserName,
    "not the name of a user"
);

name!(
    /// A client's own name for a message, by which retries are recognised: 1 to 64 printable ASCII
    /// characters, spaces included.
    ClientMsgId,
    "1 to 64 printable ASCII characters"
);

impl ChannelName {
    /// The channel that exists from the start and has no owner.
    pub const GENERAL: &str = "general";

    /// Accepts the name of any channel, direct channels included.
    pub fn parse(s: &str) -> Result<ChannelName, InvalidName> {
        let direct = || {
            let (a, b) = s.strip_prefix("dm:")?.split_once(':')?;
            (is_plain_name(a, 32) && is_plain_name(b, 32) && a < b).then_some(())
        };
        if is_plain_name(s, 64) || direct().is_some() {
            return Ok(ChannelName(s.into()));
        }
        Err(InvalidName)
    }

    /// Accepts the names that users can give to channels, which excludes those of direct channels.
    pub fn parse_given(s: &str) -> Result<ChannelName, InvalidName> {
        if is_plain_name(s, 64) {
            Ok(ChannelName(s.into()))
        } else {
            Err(InvalidName)
        }
    }

    pub fn general() -> ChannelName {
        ChannelName(Self::GENERAL.into())
    }

    pub fn is_general(&self) -> bool {
        &*self.0 == Self::GENERAL
    }
}

impl UserName {
    pub fn parse(s: &str) -> Result<UserName, InvalidName> {
        if is_plain_name(s, 32) {
            Ok(UserName(s.into()))
        } else {
            Err(InvalidName)
        }
    }
}

impl ClientMsgId {
    pub fn parse(s: &str) -> Result<ClientMsgId, InvalidName> {
        let printable = s.bytes().all(|b| (0x20..0x7f).contains(&b));
        if (1..=64).contains(&s.len()) && printable {
            return Ok(ClientMsgId(s.into()));
        }
        Err(InvalidName)
    }

    /// The form that identifies a retry: a UUID in upper case and in lower case is the same one.
    /// Readers get the id as it was sent.
    pub fn canonical(&self) -> Cow<'_, str> {
        let is_uuid = self.0.len() == Hyphenated::LENGTH && Uuid::try_parse(&self.0).is_ok();
        if is_uuid && self.0.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.0.to_ascii_lowercase().into();
        }
        Cow::Borrowed(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_are_plain_or_direct() {
        for good in ["a", "0", "ops", "a.b_c-d", &"x".repeat(64), "dm:ann:bob"] {
            assert!(ChannelName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "_a",
            "A",
            "a b",
            "ü",
            &"x".repeat(65),
            "dm:bob:ann",
            "dm:a:a",
            "dm:a",
            "a\0",
        ] {
            assert!(ChannelName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ChannelName::parse_given("dm:ann:bob").is_err());
    }

    #[test]
    fn user_names_end_at_32_bytes() {
        assert!(UserName::parse(&"u".repeat(32)).is_ok());
        assert!(UserName::parse(&"u".repeat(33)).is_err());
    }

    #[test]
    fn client_msg_ids_are_printable_ascii() {
        assert!(ClientMsgId::parse("c 1~").is_ok());
        for bad in ["", "é", "a\n", &"x".repeat(65)] {
            assert!(ClientMsgId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_case_of_a_uuid_does_not_matter() {
        let canonical = |s: &str| ClientMsgId::parse(s).unwrap().canonical().into_owned();
        let lower = "3b241101-e2bb-4255-8caf-4136c566a962";
        assert_eq!(canonical(&lower.to_uppercase()), lower);
        assert_eq!(canonical(lower), lower);
        assert_eq!(canonical("C-1"), "C-1");
        let other = "X".repeat(36);
        assert_eq!(canonical(&other), other);
    }
}
