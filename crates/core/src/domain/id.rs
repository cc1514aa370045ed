//! Ids of messages and events. They are Snowflake ids with the partition of the log as the worker.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 2024-01-01T00:00:00Z in ms since 1970. Ids count their milliseconds from this time.
pub const EPOCH_MS: u64 = 1_704_067_200_000;

/// The most partitions that a log can have: an id has ten bits for the partition.
pub const MAX_PARTITIONS: u16 = 1024;

const STEP_BITS: u32 = 12;
const PARTITION_BITS: u32 = 10;

/// The largest step within a millisecond.
pub const MAX_STEP: u16 = (1 << STEP_BITS) - 1;

/// A partition of the log, 0 ≤ p < 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u16);

impl Partition {
    /// The partition's index in vectors "by partition".
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a message or an event: 41 bits of milliseconds since 2024-01-01 UTC, 10 bits of
/// partition, 12 bits of step.
///
/// The order of ids within a channel is the order in which all users see the messages, so an id
/// also serves as a cursor. An id is unique within its channel. Its text is 20 decimal digits: a
/// JavaScript number can't hold 63 bits, and texts of equal length sort like the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl Id {
    /// Smaller than every id; as a cursor, "from the beginning".
    pub const ZERO: Id = Id(0);
    /// At least as large as every id.
    pub const MAX: Id = Id(i64::MAX as u64);

    /// The id of a millisecond (`ms` since 1970, at least [`EPOCH_MS`]), a partition, and a step
    /// within that millisecond.
    pub fn mint(ms: u64, partition: Partition, step: u16) -> Id {
        debug_assert!(step <= MAX_STEP && partition.0 < MAX_PARTITIONS);
        let since = ms.saturating_sub(EPOCH_MS);
        Id(since << (STEP_BITS + PARTITION_BITS)
            | u64::from(partition.0) << STEP_BITS
            | u64::from(step))
    }

    /// The id with this number; `None` above 63 bits.
    pub fn from_u64(n: u64) -> Option<Id> {
        (n <= Id::MAX.0).then_some(Id(n))
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The time of the id in ms since 1970. For a message it is `sent_at`.
    pub fn ms(self) -> u64 {
        (self.0 >> (STEP_BITS + PARTITION_BITS)) + EPOCH_MS
    }

    pub fn step(self) -> u16 {
        (self.0 & u64::from(MAX_STEP)) as u16
    }

    /// The id that was minted `ids` earlier in the same partition, if each id in between was one
    /// step after the one before. A step before step 0 is the last one of the millisecond before.
    pub fn stepped_back(self, ids: u64) -> Id {
        let place = (self.ms() - EPOCH_MS) << STEP_BITS | u64::from(self.step());
        let place = place.saturating_sub(ids);
        let step = (place & u64::from(MAX_STEP)) as u16;
        Id::mint(EPOCH_MS + (place >> STEP_BITS), self.partition(), step)
    }

    pub fn partition(self) -> Partition {
        Partition((self.0 >> STEP_BITS & ((1 << PARTITION_BITS) - 1)) as u16)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    /// Accepts 1 to 20 decimal digits; leading zeros are optional.
    fn from_str(s: &str) -> Result<Id, InvalidId> {
        if s.is_empty() || s.len() > 20 || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidId);
        }
        s.parse().ok().and_then(Id::from_u64).ok_or(InvalidId)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Id, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse()
            .map_err(|InvalidId| serde::de::Error::custom("an id is 1 to 20 decimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_out_of_an_id() {
        let id = Id::mint(EPOCH_MS + 5, Partition(1023), 4095);
        assert_eq!(
            (id.ms(), id.partition(), id.step()),
            (EPOCH_MS + 5, Partition(1023), 4095)
        );
        assert_eq!(id.as_u64(), 5 << 22 | 1023 << 12 | 4095);
    }

    #[test]
    fn text_is_twenty_digits_and_input_may_leave_out_zeros() {
        let id = Id::from_u64(42).expect("63 bits");
        assert_eq!(id.to_string(), "00000000000000000042");
        assert_eq!("42".parse(), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in [
            "",
            "x",
            "-1",
            "+1",
            " 1",
            "9223372036854775808",
            "000000000000000000001",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(InvalidId), "{bad}");
        }
    }
}
