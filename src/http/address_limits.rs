//! Limits of the chat per client address: open WebSockets, and upgrades per second.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http::address_slots::{AddressSlot, AddressSlots};
use lakechat_core::domain::{Code, Problem};
use lakechat_core::limits::{KeyedLimit, network};

/// How often the memory of addresses without connections is freed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// `retry_after_ms` of `connections_per_address`: when another connection closes is unknown.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(10);

/// Counts per address. Clones share their counts.
#[derive(Clone, Debug)]
pub struct AddressLimits(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    connects_per_second: u32,
    connects: KeyedLimit<IpAddr>,
    max_open: u32,
    open: AddressSlots,
    swept: Mutex<Instant>,
}

impl AddressLimits {
    /// `connects_per_second` in bursts of five seconds' worth, `max_open` at a time; 0 turns a limit
    /// off.
    pub fn new(connects_per_second: u32, max_open: u32) -> AddressLimits {
        AddressLimits(Arc::new(Limits {
            connects_per_second,
            connects: KeyedLimit::new(connects_per_second),
            max_open,
            open: AddressSlots::new(usize::try_from(max_open).unwrap_or(usize::MAX)),
            swept: Mutex::new(Instant::now()),
        }))
    }

    /// Admits a connection, or refuses it as `rate_limited`.
    pub fn admit(&self, client: IpAddr) -> Result<AddressSlot, Problem> {
        self.sweep();
        self.0.connects.check(&network(client)).map_err(|wait| {
            let (limit, rate) = ("connects_per_address", self.0.connects_per_second);
            refuse("connects per second", limit, rate.into(), wait)
        })?;
        self.open(client)
    }

    fn open(&self, client: IpAddr) -> Result<AddressSlot, Problem> {
        let (limit, max) = ("connections_per_address", self.0.max_open);
        let slot = self.0.open.take(client);
        slot.ok_or_else(|| refuse("connections", limit, max.into(), RETRY_WHEN_FULL))
    }

    fn sweep(&self) {
        let now = Instant::now();
        {
            let mut swept = self.0.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(*swept) < SWEEP_EVERY {
                return;
            }
            *swept = now;
        }
        self.0.open.shrink();
    }
}

fn refuse(what: &str, name: &'static str, limit: u64, wait: Duration) -> Problem {
    metrics::counter!("lakechat_connects_refused_total", "limit" => name).increment(1);
    let text = format!("Too many {what} from your address; the limit is {limit}.");
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    Problem::new(Code::RateLimited, text)
        .limit(limit)
        .retry_after_ms(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let limits = AddressLimits::new(0, 2);
        let first = limits.admit(ip("1.1.1.1")).unwrap();
        let _second = limits.admit(ip("1.1.1.1")).unwrap();
        let problem = limits.admit(ip("1.1.1.1")).expect_err("two are open");
        assert_eq!(problem.code, Code::RateLimited);
        assert_eq!(problem.limit, Some(2));
        assert!(limits.admit(ip("2.2.2.2")).is_ok());
        drop(first);
        assert!(limits.admit(ip("1.1.1.1")).is_ok());
    }

    #[test]
    fn connects_come_in_bursts_of_five_seconds() {
        let limits = AddressLimits::new(2, 0);
        for _ in 0..10 {
            assert!(limits.admit(ip("2001:db8::1")).is_ok());
        }
        let problem = limits.admit(ip("2001:db8::2")).expect_err("the same /64");
        assert_eq!(problem.limit, Some(2));
        assert!((1..=500).contains(&problem.retry_after_ms.unwrap()));
        assert!(limits.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn zero_is_off() {
        let limits = AddressLimits::new(0, 0);
        let open: Vec<_> = (0..500).map(|_| limits.admit(ip("1.1.1.1"))).collect();
        assert!(open.iter().all(Result::is_ok));
    }
}
