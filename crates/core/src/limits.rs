//! Limits by key: rates, as token buckets, and numbers of things held at the same time.

mod buckets;
mod requests;
mod slots;
mod transfers;

pub use requests::{RequestKind, RequestLimit};
pub use slots::{KeyedSlot, KeyedSlots};
pub use transfers::{TransferLimit, TransferSlot};

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::{NotUntil, Quota, RateLimiter};

use self::buckets::Buckets;

/// A burst may use as many tokens as the rate gives in this many seconds.
pub const BURST_SECONDS: u32 = 5;

/// The fewest checks between two sweeps, which remove full buckets.
const SWEEP_EVERY: usize = 1024;

type Limiter<K, C> = RateLimiter<K, Buckets<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A rate per second for each key, with bursts of five seconds' worth.
///
/// Memory: a bucket that is full again, after five seconds at most, holds no information. A sweep
/// removes such buckets. It runs after as many checks as the previous one left buckets, but at
/// least 1,024. Therefore there are at most about twice as many buckets as keys that were used
/// within five seconds.
pub struct KeyedLimit<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: Option<Limiter<K, C>>,
    buckets: Buckets<K>,
    /// The time in which a bucket gains a token.
    per_token: Duration,
    /// The moment from which buckets count time.
    start: C::Instant,
    clock: C,
    checks_until_sweep: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock> fmt::Debug for KeyedLimit<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimit").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> KeyedLimit<K> {
    /// With `per_second` 0 there is no limit.
    pub fn new(per_second: u32) -> KeyedLimit<K> {
        KeyedLimit::with_clock(per_second, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> KeyedLimit<K, C> {
    fn with_clock(per_second: u32, clock: C) -> KeyedLimit<K, C> {
        let buckets = Buckets::default();
        let start = clock.now();
        let quota = NonZeroU32::new(per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).expect("not zero"));
            Quota::per_second(rate).allow_burst(burst)
        });
        let limiter = |quota| RateLimiter::new(quota, buckets.clone(), clock.clone());
        KeyedLimit {
            limiter: quota.map(limiter),
            per_token: quota.map_or(Duration::ZERO, |quota| quota.replenish_interval()),
            buckets,
            start,
            clock,
            checks_until_sweep: AtomicUsize::new(SWEEP_EVERY),
        }
    }

    /// Takes one token from the key's bucket. If it is empty, nothing is taken, and the error is
    /// the time until the next token.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        self.take(key, NonZeroU32::MIN)
    }

    /// Takes several tokens from the key's bucket, at most five: each bucket has room for these. If
    /// it has fewer, nothing is taken, and the error is the time until it has enough.
    pub fn take(&self, key: &K, tokens: NonZeroU32) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        self.sweep(limiter);
        let taken = limiter.check_key_n(key, tokens);
        let taken = taken.expect("a bucket holds five seconds' worth, at least five tokens");
        taken.map_err(|until| self.wait(until))
    }

    /// Takes a token for something that has happened elsewhere, `age` ago, and can't be refused any
    /// more. The bucket may go into debt: it gains nothing until that is paid.
    pub fn charge(&self, key: &K, age: Duration) {
        if let Some(limiter) = &self.limiter {
            self.sweep(limiter);
            let now: Duration = self.clock.now().duration_since(self.start).into();
            self.buckets
                .charge(key, now.saturating_sub(age), self.per_token);
        }
    }

    fn wait(&self, until: NotUntil<C::Instant>) -> Duration {
        let now = self.clock.now();
        until.earliest_possible().duration_since(now).into()
    }

    fn sweep(&self, limiter: &Limiter<K, C>) {
        // Exactly one check finds 1 and sweeps. Others may count on below 1 in the meantime;
        // `store` overwrites that.
        if self.checks_until_sweep.fetch_sub(1, Ordering::Relaxed) == 1 {
            limiter.retain_recent();
            let next = limiter.len().max(SWEEP_EVERY);
            self.checks_until_sweep.store(next, Ordering::Relaxed);
        }
    }
}

/// The network whose limits an address counts against. For IPv4 it is the address itself. For IPv6
/// it is the first 64 bits: a client that has one of these addresses can usually use all of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => prefix(v6, 64),
        v4 => v4,
    }
}

/// The networks to which providers assign a client's address, narrowest first. For IPv4 it is the
/// address alone, for IPv6 the prefixes of 64, 56 and 48 bits.
pub fn networks(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let (v4, v6) = match address.to_canonical() {
        IpAddr::V6(v6) => (None, Some(v6)),
        v4 => (Some(v4), None),
    };
    let prefixes = v6
        .into_iter()
        .flat_map(|v6| [64, 56, 48].map(|bits| prefix(v6, bits)));
    v4.into_iter().chain(prefixes)
}

fn prefix(address: Ipv6Addr, bits: u32) -> IpAddr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into()
}

/// A rate per second for each address, with bursts of five seconds' worth. The wider networks of an
/// IPv6 address have a multiple of it.
pub struct NetworkLimit<C: Clock = DefaultClock>([KeyedLimit<IpAddr, C>; 3]);

impl NetworkLimit {
    /// How many times the limit of the narrowest network each of [`networks`] has.
    pub const FACTORS: [u32; 3] = [1, 2, 4];

    /// With `per_second` 0 there is no limit.
    pub fn new(per_second: u32) -> NetworkLimit {
        NetworkLimit::with_clock(per_second, DefaultClock::default())
    }
}

impl<C: Clock + Clone> NetworkLimit<C> {
    fn with_clock(per_second: u32, clock: C) -> NetworkLimit<C> {
        NetworkLimit(
            NetworkLimit::FACTORS.map(|factor| {
                KeyedLimit::with_clock(per_second.saturating_mul(factor), clock.clone())
            }),
        )
    }

    /// Takes one token of each of the address's networks, from the narrowest to the first that has
    /// none. The error is the time until that one has the next token. In this order an address over
    /// its own limit uses up nothing of its neighbours.
    pub fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let mut limits = self.0.iter().zip(networks(address));
        limits.try_for_each(|(limit, network)| limit.check(&network))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_burst_is_five_seconds_worth_and_then_the_rate_holds() {
        let clock = FakeRelativeClock::default();
        let limit = KeyedLimit::with_clock(4, clock.clone());
        for _ in 0..20 {
            assert_eq!(limit.check(&"ann"), Ok(()));
        }
        assert_eq!(limit.check(&"ann"), Err(Duration::from_millis(250)));
        assert_eq!(limit.check(&"bob"), Ok(()), "each key has its own bucket");

        clock.advance(Duration::from_millis(250));
        assert_eq!(limit.check(&"ann"), Ok(()));
        assert!(limit.check(&"ann").is_err());
    }

    #[test]
    fn several_tokens_are_taken_together_or_not_at_all() {
        let clock = FakeRelativeClock::default();
        let limit = KeyedLimit::with_clock(1, clock.clone());
        let five = NonZeroU32::new(5).expect("not zero");
        assert_eq!(limit.take(&"ann", five), Ok(()));
        clock.advance(Duration::from_secs(3));
        assert_eq!(limit.take(&"ann", five), Err(Duration::from_secs(2)));
        assert_eq!(limit.check(&"ann"), Ok(()));
    }

    #[test]
    fn charges_are_paid_before_the_next_check_passes() {
        let clock = FakeRelativeClock::default();
        let limit = KeyedLimit::with_clock(2, clock.clone());
        for _ in 0..10 {
            assert_eq!(limit.check(&"ann"), Ok(()));
        }
        (0..10).for_each(|_| limit.charge(&"ann", Duration::ZERO));
        assert_eq!(limit.check(&"ann"), Err(Duration::from_millis(5_500)));
        clock.advance(Duration::from_millis(5_500));
        assert_eq!(limit.check(&"ann"), Ok(()));
        assert!(limit.check(&"ann").is_err());
    }

    #[test]
    fn charge_for_what_is_as_old_as_a_burst_takes_nothing() {
        let clock = FakeRelativeClock::default();
        let limit = KeyedLimit::with_clock(2, clock.clone());
        clock.advance(Duration::from_secs(60));
        (0..10).for_each(|_| limit.charge(&"ann", Duration::from_secs(5)));
        assert_eq!((0..20).filter(|_| limit.check(&"ann").is_ok()).count(), 10);
        (0..10).for_each(|_| limit.charge(&"bob", Duration::from_secs(4)));
        assert_eq!((0..20).filter(|_| limit.check(&"bob").is_ok()).count(), 8);
    }

    #[test]
    fn servers_that_tell_each_other_admit_what_one_would() {
        let clock = FakeRelativeClock::default();
        let servers = [0, 1].map(|_| KeyedLimit::with_clock(20, clock.clone()));
        let mut admitted = 0;
        for _ in 0..60_000 {
            for (here, there) in [(0, 1), (1, 0)] {
                if servers[here].check(&"ann").is_ok() {
                    servers[there].charge(&"ann", Duration::ZERO);
                    admitted += 1;
                }
            }
            clock.advance(Duration::from_millis(1));
        }
        assert!(
            (1_295..=1_305).contains(&admitted),
            "{admitted} in a minute"
        );
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = KeyedLimit::new(0);
        assert!((0..10_000).all(|_| limit.check(&1).is_ok()));
    }

    #[test]
    fn keys_that_went_quiet_take_no_memory() {
        let clock = FakeRelativeClock::default();
        let limit = KeyedLimit::with_clock(1, clock.clone());
        for key in 0..100_000 {
            let _ = limit.check(&key);
            clock.advance(Duration::from_millis(10));
        }
        let kept = limit.limiter.as_ref().map(|l| l.len());
        assert!(kept < Some(3 * SWEEP_EVERY), "{kept:?}");
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_mapped_ipv4_as_ipv4() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn an_ipv6_address_counts_in_three_networks_too() {
        let of = |text: &str| networks(text.parse().expect("an address")).map(|n| n.to_string());
        let prefixes = ["2001:db8:1:203::", "2001:db8:1:200::", "2001:db8:1::"];
        assert!(of("2001:db8:1:203:4::5").eq(prefixes));
        assert!(of("192.0.2.7").eq(["192.0.2.7"]));

        let limit = NetworkLimit::with_clock(1, FakeRelativeClock::default());
        let address = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1));
        let passed = |n| (0..10).filter(|_| limit.check(address(n)).is_ok()).count();
        // One /64 that goes on beyond its limit takes no more than its own share.
        assert_eq!(passed(0), 5);
        // The /56 has twice the limit of a /64, the /48 four times.
        assert_eq!((1..0x100).map(passed).sum::<usize>(), 5);
        assert_eq!((0x100..0x400).map(passed).sum::<usize>(), 10);
    }
}
