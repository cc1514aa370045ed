//! Row keys. Two hex digits in front (`hh` in docs/rows.md) spread channels over the regions, and keep the
//! rows of each channel together.

use md5::{Digest, Md5};

use lakechat_core::domain::{ChannelName, Id};

/// The row of table `meta` that describes the log.
pub(super) const LOG: &str = "log";

/// Decimal digits of an id in a row key.
const ID_DIGITS: usize = 20;

/// The first two hex digits of a name's MD5.
fn hh(name: &str) -> String {
    hex::encode(&Md5::digest(name.as_bytes())[..1])
}

/// The prefix of the keys of a channel's messages, and of its changes.
pub(super) fn events_prefix(channel: &ChannelName) -> Vec<u8> {
    format!("{}{channel}\0", hh(channel.as_str())).into_bytes()
}

/// The key of a message or a change.
pub(super) fn event(channel: &ChannelName, id: Id) -> Vec<u8> {
    under(events_prefix(channel), &id.to_string())
}

/// The channel in a message's or a change's key.
pub(super) fn channel_of(key: &[u8]) -> Option<ChannelName> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(key.get(2..end)?).ok()?;
    ChannelName::parse(name).ok()
}

/// The id at the end of a message's or a change's key.
pub(super) fn id_of(key: &[u8]) -> Option<Id> {
    let digits = key.len().checked_sub(ID_DIGITS).map(|at| &key[at..])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The prefix of the keys of a channel's members.
pub(super) fn members_prefix(channel: &ChannelName) -> Vec<u8> {
    format!("{}c/{channel}\0", hh(channel.as_str())).into_bytes()
}

/// A prefix followed by a name.
pub(super) fn under(mut prefix: Vec<u8>, name: &str) -> Vec<u8> {
    prefix.extend_from_slice(name.as_bytes());
    prefix
}

/// The name that follows a prefix.
pub(super) fn rest<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}

/// The smallest key above all that begin with a prefix. The prefix must not end with 0xff.
pub(super) fn end_of(mut prefix: Vec<u8>) -> Vec<u8> {
    let last = prefix.last_mut().expect("a prefix is not empty");
    *last += 1;
    prefix
}

/// The smallest key above this one.
pub(super) fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_row_contract() {
        let ops = ChannelName::parse("ops").expect("a name");
        let id = Id::from_u64(42).expect("an id");
        let key = event(&ops, id);
        assert_eq!(key, b"e8ops\x0000000000000000000042");
        assert_eq!(id_of(&key), Some(id));
        assert_eq!(channel_of(&key), Some(ops.clone()));
        let member = under(members_prefix(&ops), "ann");
        assert_eq!(member, b"e8c/ops\0ann");
        assert_eq!(rest(&member, &members_prefix(&ops)), Some("ann"));
        assert_eq!(end_of(members_prefix(&ops)), b"e8c/ops\x01");
    }
}
