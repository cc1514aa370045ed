//! This machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 if the clock says a time before 1970. Such a clock was never set: what is
/// stamped with 0 counts as older than everything else.
pub fn now_ms() -> u64 {
    ms_since_1970(SystemTime::now())
}

fn ms_since_1970(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_at_zero() {
        assert_eq!(ms_since_1970(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(
            ms_since_1970(UNIX_EPOCH + Duration::from_millis(1500)),
            1500
        );
    }
}
