//! What admins have done.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Identifies an entry, and its place: entries are ordered by their ids, which begin with the time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditId(String);

/// Digits of the time in an id, ms since 1970: enough until the year 2286.
const TIME_DIGITS: usize = 13;
/// Hex digits that separate entries of one millisecond.
const RANDOM_DIGITS: usize = 16;

impl AuditId {
    pub fn random(at_ms: u64) -> AuditId {
        let (_, random) = Uuid::new_v4().as_u64_pair();
        AuditId(format!("{at_ms:0TIME_DIGITS$}-{random:0RANDOM_DIGITS$x}"))
    }

    pub fn parse(text: &str) -> Option<AuditId> {
        let (time, random) = text.split_once('-')?;
        let is_time = time.len() == TIME_DIGITS && time.bytes().all(|b| b.is_ascii_digit());
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_random = random.len() == RANDOM_DIGITS && random.bytes().all(is_hex);
        (is_time && is_random).then(|| AuditId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AuditId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// Something that an admin did. It is written before it is done, so it may have failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    pub id: AuditId,
    /// Milliseconds since 1970.
    #[serde(rename = "at")]
    pub at_ms: u64,
    /// The admin's user name, or [`AuditEntry::COMMAND_LINE`].
    pub by: String,
    /// A word such as `disable`.
    pub action: String,
    /// The user whom it was done to, or the invite.
    pub user: String,
    /// The admin's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl AuditEntry {
    /// Who works on the back ends themselves. No user can have this name.
    pub const COMMAND_LINE: &str = "(command line)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_time_and_read_back() {
        let ids = [7, 1_795_470_000_000, 1_795_470_000_001].map(AuditId::random);
        assert!(ids.is_sorted());
        for id in &ids {
            assert_eq!(AuditId::parse(id.as_str()).as_ref(), Some(id));
        }
        assert_ne!(AuditId::random(7), AuditId::random(7));
        for bad in [
            "",
            "1",
            "1795470000000",
            "1795470000000-",
            "1795470000000-000000000000000G",
        ] {
            assert_eq!(AuditId::parse(bad), None, "{bad}");
        }
    }
}
