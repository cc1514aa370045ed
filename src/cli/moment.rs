//! Times of the log, as people read and write them.

use chrono::{DateTime, SecondsFormat};

use lakechat_core::domain::now_ms;

/// A time in ms since 1970, in UTC: `2026-11-28T13:05:00.123Z`.
pub(super) fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    time.map_or_else(
        || format!("{ms} ms"),
        |time| time.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// A time, or how long ago it was (`30m`, `24h`, `7d`), as ms since 1970.
pub(super) fn since(text: &str) -> Result<u64, String> {
    since_at(text, now_ms())
}

fn since_at(text: &str, now_ms: u64) -> Result<u64, String> {
    let wrong =
        || "a duration such as 30m, 24h or 7d, or a time such as 2026-11-28T12:00:00Z".to_owned();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return u64::try_from(time.timestamp_millis()).map_err(|_| wrong());
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(wrong()),
    };
    let count = &text[..text.len() - unit.len_utf8()];
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let ago_ms = count.checked_mul(unit_ms).ok_or_else(wrong)?;
    Ok(now_ms.saturating_sub(ago_ms))
}
