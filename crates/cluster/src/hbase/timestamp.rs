//! Cell timestamps. They are no times: they only say which of several cells of one column counts.

use lakechat_core::domain::Id;
use lakechat_core::domain::id::EPOCH_MS;

const HOUR_MS: u64 = 3_600_000;

/// What one call of Thrift stamps its cells with.
pub(super) type Stamp = i64;

/// Of what is written once: the id's time floored to the hour, so that a batch has one stamp and
/// goes in one call.
pub(super) fn original(id: Id) -> Stamp {
    let ms = id.ms();
    stamp(ms - ms % HOUR_MS)
}

/// Of what a change writes: its id without the bits of the partition, which is the same for all ids
/// of a channel. Above every original from a week after the ids' clock began, and in the order of
/// the log: the later change wins in whatever order they are written.
pub(super) fn change(id: Id) -> Stamp {
    stamp((id.ms() - EPOCH_MS) << 12 | u64::from(id.step()))
}

fn stamp(n: u64) -> Stamp {
    i64::try_from(n).expect("ids use 63 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakechat_core::domain::Partition;

    #[test]
    fn changes_stand_above_originals_in_the_order_of_the_log() {
        let id = |ms, partition, step| Id::mint(ms, Partition(partition), step);
        let at = 1_795_470_123_456;
        assert_eq!(original(id(at, 7, 3)), 1_795_467_600_000);
        assert_eq!(
            change(id(at, 7, 3)),
            (at as i64 - 1_704_067_200_000) * 4096 + 3
        );
        assert_eq!(change(id(at, 7, 3)), change(id(at, 8, 3)));
        assert!(change(id(at, 7, 3)) < change(id(at, 7, 4)));
        assert!(change(id(at, 7, 4095)) < change(id(at + 1, 7, 0)));
        assert!(original(id(at + 10 * 365 * 86_400_000, 0, 0)) < change(id(at, 0, 0)));
    }
}
