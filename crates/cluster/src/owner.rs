//! Who owns a place: an HDFS folder, a Kafka topic, the keys in a Redis.
//!
//! An installation is a set of tables in HBase, and its id is in row `log` of table `meta`. Every other
//! place that it uses carries the same id, so that a server whose settings point at another installation's
//! place notices before it writes or removes anything there.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use uuid::Uuid;

use lakechat_core::ports::PortError;

/// An installation, as the places that belong to it name it: `<id> <name of its table meta>`.
///
/// The table is part of it because a copy of the tables (a snapshot that was cloned) has the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    pub id: Uuid,
    pub meta_table: String,
}

impl Installation {
    /// What a place carries.
    pub(crate) fn encode(&self) -> String {
        format!("{} {}", self.id, self.meta_table)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Installation> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not an installation: `<uuid> <table>` is expected")]
pub struct ParseError;

impl FromStr for Installation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Installation, ParseError> {
        let (id, meta_table) = text.trim_end().split_once(' ').ok_or(ParseError)?;
        Ok(Installation {
            id: id.parse().map_err(|_| ParseError)?,
            meta_table: meta_table.to_owned(),
        })
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Installation { id, meta_table } = self;
        write!(f, "installation {id} (table {meta_table})")
    }
}

/// A place that belongs to one installation.
///
/// *Errors.* `Unavailable`: a retry may help; a change may have been made, and repeating it is safe.
/// `Broken`: an operator has to act.
#[async_trait]
pub trait Place: Send + Sync {
    /// What it is and which setting names it, such as `the folder /lakechat in HDFS (hdfs.root)`.
    fn name(&self) -> String;

    /// The installation that it belongs to; `None` if nobody has claimed it.
    async fn owner(&self) -> Result<Option<Installation>, PortError>;

    /// Assigns it to `installation` unless it has an owner; returns its owner. Concurrent callers all get the
    /// same answer.
    async fn claim(&self, installation: &Installation) -> Result<Installation, PortError>;

    /// Assigns it to `installation`, also if it has another owner.
    async fn reassign(&self, installation: &Installation) -> Result<(), PortError>;
}

/// The error text for a place that belongs to another installation than this server.
pub fn foreign(place: &str, owner: &Installation, ours: &Installation) -> String {
    format!("{place} belongs to {owner}, but this server belongs to {ours}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installation_is_read_as_it_was_written() {
        let installation = Installation {
            id: Uuid::from_u128(7),
            meta_table: "lakechat:staging_meta".to_owned(),
        };
        let written = installation.encode();
        let expected = "00000000-0000-0000-0000-000000000007 lakechat:staging_meta";
        assert_eq!(written, expected);
        let read = Installation::decode(format!("{written}\n").as_bytes());
        assert_eq!(read, Some(installation));
        for other in [
            "",
            "x lakechat:meta",
            "00000000-0000-0000-0000-000000000007",
        ] {
            assert_eq!(Installation::decode(other.as_bytes()), None, "{other}");
        }
    }
}
