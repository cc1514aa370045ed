//! What one address may take of the chat: connections at a time and connects a second.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::{Code, Problem};

/// A bucket holds this many seconds' worth.
const BURST_SECONDS: u32 = 5;

/// How often addresses that have been quiet are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// When to come back from `connections_per_address`: that somebody leaves can't be foretold.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(10);

/// Counts for each address. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct AddressLimits(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    connects: Option<DefaultKeyedRateLimiter<IpAddr>>,
    max_open: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: HashMap<IpAddr, u32>,
    swept: Instant,
}

/// One open connection of an address; dropping it gives the place back.
#[derive(Debug)]
pub struct AddressGuard {
    limits: AddressLimits,
    network: IpAddr,
}

impl AddressLimits {
    /// `connects_per_second` in bursts of five seconds' worth, `max_open` at a time; 0 is off.
    pub fn new(connects_per_second: u32, max_open: u32) -> AddressLimits {
        let connects = NonZeroU32::new(connects_per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        let state = State {
            open: HashMap::new(),
            swept: Instant::now(),
        };
        AddressLimits(Arc::new(Limits {
            connects,
            max_open,
            state: Mutex::new(state),
        }))
    }

    /// Takes a connection in, or refuses it as `rate_limited`.
    pub fn admit(&self, client: IpAddr) -> Result<AddressGuard, Problem> {
        let network = network(client);
        self.sweep();
        if let Some(connects) = &self.0.connects {
            connects.check_key(&network).map_err(|until| {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let rate = until.quota().replenish_interval().as_nanos().max(1);
                let rate = u64::try_from(1_000_000_000 / rate).unwrap_or(u64::MAX);
                refuse("connects a second", "connects_per_address", rate, wait)
            })?;
        }
        self.open(network)
    }

    fn open(&self, network: IpAddr) -> Result<AddressGuard, Problem> {
        let mut state = self.state();
        let open = state.open.entry(network).or_insert(0);
        let max = self.0.max_open;
        if max > 0 && *open >= max {
            let limit = "connections_per_address";
            return Err(refuse("connections", limit, max.into(), RETRY_WHEN_FULL));
        }
        *open += 1;
        Ok(AddressGuard {
            limits: self.clone(),
            network,
        })
    }

    fn sweep(&self) {
        let now = Instant::now();
        {
            let mut state = self.state();
            if now.duration_since(state.swept) < SWEEP_EVERY {
                return;
            }
            state.swept = now;
            state.open.shrink_to_fit();
        }
        if let Some(connects) = &self.0.connects {
            connects.retain_recent();
            connects.shrink_to_fit();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        if let Some(open) = state.open.get_mut(&self.network) {
            *open -= 1;
            if *open == 0 {
                state.open.remove(&self.network);
            }
        }
    }
}

/// What counts as one address. A household or a rented machine has 2⁶⁴ addresses of IPv6, so its
/// /64 is one.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn refuse(what: &str, name: &'static str, limit: u64, wait: Duration) -> Problem {
    metrics::counter!("lakechat_connects_refused_total", "limit" => name).increment(1);
    let text = format!("Too many {what} from your address: {limit} are allowed.");
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
        let _second = limits.admit(ip("::ffff:1.1.1.1")).unwrap();
        let problem = limits.admit(ip("1.1.1.1")).expect_err("two are open");
        assert_eq!(problem.code, Code::RateLimited);
        assert_eq!(problem.limit, Some(2));
        assert!(limits.admit(ip("2.2.2.2")).is_ok());
        drop(first);
        assert!(limits.admit(ip("1.1.1.1")).is_ok());
        assert_eq!(limits.state().open.len(), 1, "the quiet are forgotten");
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
