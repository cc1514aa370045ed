//! The distribution of one latency.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones count as this long.
const LONGEST: Duration = Duration::from_secs(3_600);

/// In microseconds, to two digits.
#[derive(Debug)]
pub struct Latency(Histogram<u64>);

/// In milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub median: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    pub fn new() -> Latency {
        let longest = LONGEST.as_micros() as u64;
        Latency(Histogram::new_with_bounds(1, longest, 2).expect("the bounds are valid"))
    }

    pub fn record(&mut self, latency: Duration) {
        let micros = latency.min(LONGEST).as_micros() as u64;
        self.0.saturating_record(micros);
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn quantiles(&self) -> Quantiles {
        let ms = |micros: u64| micros as f64 / 1_000.0;
        Quantiles {
            count: self.0.len(),
            median: ms(self.0.value_at_quantile(0.5)),
            p99: ms(self.0.value_at_quantile(0.99)),
            max: ms(self.0.max()),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("none");
        }
        let [median, p99, max] = [self.median, self.p99, self.max].map(milliseconds);
        write!(f, "median {median}, p99 {p99}, longest {max}")
    }
}

/// Such as `12.3 ms` or `4.5 s`.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_read_well() {
        let mut latency = Latency::new();
        assert_eq!(latency.quantiles().to_string(), "none");
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        latency.record(Duration::from_secs(7_200));
        let text = latency.quantiles().to_string();
        assert!(text.starts_with("median 51 ms, p99 "), "{text}");
        assert!(
            text.ends_with("longest 3600.0 s") || text.contains("longest 36"),
            "{text}"
        );
    }
}
