//! Cell timestamps. They are versions and not times: of several cells of a column, HBase shows the one with
//! the highest.

use lakechat_core::domain::Id;
use lakechat_core::domain::id::EPOCH_MS;

const HOUR_MS: u64 = 3_600_000;

/// The timestamp of all cells of one call.
pub(super) type CellTimestamp = i64;

/// For cells that are written once: the id's time rounded down to the hour, so that the rows of a batch share
/// one and fit into one call.
pub(super) fn of_original(id: Id) -> CellTimestamp {
    let ms = id.ms();
    timestamp(ms - ms % HOUR_MS)
}

/// For cells that a change writes: its id without the bits of the partition, which all ids of a channel
/// share. It is above the timestamp of every original from a week after the epoch of ids on, and in the
/// order of the log: the latest change wins, in whatever order they are written.
pub(super) fn of_change(id: Id) -> CellTimestamp {
    timestamp((id.ms() - EPOCH_MS) << 12 | u64::from(id.step()))
}

fn timestamp(n: u64) -> CellTimestamp {
    i64::try_from(n).expect("ids use 63 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakechat_core::domain::Partition;

    #[test]
    fn changes_are_above_originals_and_in_the_order_of_the_log() {
        let id = |ms, partition, step| Id::mint(ms, Partition(partition), step);
        let at = 1_795_470_123_456;
        assert_eq!(of_original(id(at, 7, 3)), 1_795_467_600_000);
        assert_eq!(
            of_change(id(at, 7, 3)),
            (at as i64 - 1_704_067_200_000) * 4096 + 3
        );
        assert_eq!(of_change(id(at, 7, 3)), of_change(id(at, 8, 3)));
        assert!(of_change(id(at, 7, 3)) < of_change(id(at, 7, 4)));
        assert!(of_change(id(at, 7, 4095)) < of_change(id(at + 1, 7, 0)));
        assert!(of_original(id(at + 10 * 365 * 86_400_000, 0, 0)) < of_change(id(at, 0, 0)));
    }
}
