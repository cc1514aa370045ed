//! Limits login attempts.
//!
//! Each address has a limit on attempts, whatever their outcome. In addition, consecutive failures
//! cause a growing wait. They are counted in three ways, because each way alone could be abused:
//!
//! - By user and address: strict. The wait stops guessing from that address, and it doesn't affect
//!   the user at another address.
//! - By address: stops trying one password on many users. It allows more failures and forgets them
//!   faster, because many people may share the address. A success doesn't reset it: an attacker may
//!   have an account.
//! - By user, over all addresses: stops guessing from many addresses. The wait stays short, and an
//!   address from which the user has logged in is exempt. Otherwise anybody with many addresses
//!   could lock a user out.
//!
//! During a wait an attempt is refused before the password is verified, even the right one, and it
//! isn't counted. Attempts that run at the same time are all let through, because the outcome of
//! the others isn't known yet; the limit on attempts bounds them. The counts are local to this
//! server and are lost when it restarts.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::domain::{Code, Problem, UserName};
use crate::limits::{KeyedLimit, network};

/// The capacity of each cache. Above it, the entries that are used least are evicted.
const MOST_ENTRIES: u64 = 100_000;

/// All failures are forgotten after this long without another one.
const FORGET_ALL_AFTER: Duration = Duration::from_secs(3600);

/// How long an address stays exempt for a user who has logged in from it.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many refreshes are allowed for each login: a refresh needs no hash, and each client behind a
/// shared address refreshes several times an hour.
const REFRESHES_A_LOGIN: u32 = 10;

const FOR_PAIR: Rule = Rule {
    free: 5,
    longest: Duration::from_secs(300),
    forget_one_after: Duration::from_secs(600),
};

const FOR_ADDRESS: Rule = Rule {
    free: 20,
    longest: Duration::from_secs(300),
    forget_one_after: Duration::from_secs(30),
};

const FOR_USER: Rule = Rule {
    free: 30,
    longest: Duration::from_secs(30),
    forget_one_after: Duration::from_secs(120),
};

pub struct Throttle {
    tries: KeyedLimit<IpAddr>,
    refreshes: KeyedLimit<IpAddr>,
    pairs: Failures<(UserName, IpAddr)>,
    addresses: Failures<IpAddr>,
    users: Failures<UserName>,
    known: Cache<(UserName, IpAddr), ()>,
}

impl Throttle {
    /// `per_address`: logins and registrations per second; 0: no limit.
    pub fn new(per_address: u32) -> Throttle {
        Throttle {
            tries: KeyedLimit::new(per_address),
            refreshes: KeyedLimit::new(per_address.saturating_mul(REFRESHES_A_LOGIN)),
            pairs: Failures::new(FOR_PAIR),
            addresses: Failures::new(FOR_ADDRESS),
            users: Failures::new(FOR_USER),
            known: Cache::builder()
                .max_capacity(MOST_ENTRIES)
                .time_to_live(KNOWN_FOR)
                .build(),
        }
    }

    /// Counts an attempt to log in or to register from an address.
    pub fn count_try(&self, from: IpAddr) -> Result<(), Problem> {
        self.tries.check(&network(from)).map_err(too_often)
    }

    /// Counts a refresh from an address.
    pub fn count_refresh(&self, from: IpAddr) -> Result<(), Problem> {
        self.refreshes.check(&network(from)).map_err(too_often)
    }

    /// Whether earlier failures permit a login attempt. `user` is `None` if the name is not a valid
    /// user name.
    pub fn may_log_in(
        &self,
        user: Option<&UserName>,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), Problem> {
        let from = network(from);
        let of_user = user.and_then(|user| {
            let pair = (user.clone(), from);
            let everywhere = match self.known.contains_key(&pair) {
                true => None,
                false => self.users.wait(user, now),
            };
            self.pairs.wait(&pair, now).max(everywhere)
        });
        match self.addresses.wait(&from, now).max(of_user) {
            Some(wait) => Err(penalty(wait)),
            None => Ok(()),
        }
    }

    pub fn failed(&self, user: Option<&UserName>, from: IpAddr, now: Instant) {
        let from = network(from);
        self.addresses.add(from, now);
        if let Some(user) = user {
            self.pairs.add((user.clone(), from), now);
            self.users.add(user.clone(), now);
        }
    }

    pub fn succeeded(&self, user: &UserName, from: IpAddr) {
        let pair = (user.clone(), network(from));
        self.pairs.forget(&pair);
        self.users.forget(user);
        self.known.insert(pair, ());
    }
}

/// The wait after failures. The first ones cause none. From the `free`-th on it is 1 s, doubled
/// with each further failure, up to `longest`.
struct Rule {
    free: u32,
    longest: Duration,
    forget_one_after: Duration,
}

impl Rule {
    fn wait_after(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.free)?;
        let seconds = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        Some(Duration::from_secs(seconds).min(self.longest))
    }
}

#[derive(Clone, Copy)]
struct Row {
    failures: u32,
    last: Instant,
}

/// Consecutive failures by key.
struct Failures<K> {
    rule: Rule,
    rows: Cache<K, Row>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Failures<K> {
    fn new(rule: Rule) -> Failures<K> {
        let rows = Cache::builder()
            .max_capacity(MOST_ENTRIES)
            .time_to_live(FORGET_ALL_AFTER)
            .build();
        Failures { rule, rows }
    }

    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let row = self.rows.get(key)?;
        let until = row.last + self.rule.wait_after(row.failures)?;
        Some(until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn add(&self, key: K, now: Instant) {
        self.rows.entry(key).and_upsert_with(|row| {
            let failures = row.map_or(0, |entry| self.left(entry.into_value(), now));
            Row {
                failures: failures.saturating_add(1),
                last: now,
            }
        });
    }

    fn left(&self, row: Row, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(row.last).as_secs();
        let forgotten = quiet / self.rule.forget_one_after.as_secs();
        row.failures
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn forget(&self, key: &K) {
        self.rows.invalidate(key);
    }
}

fn too_often(wait: Duration) -> Problem {
    let text = "Too many logins and registrations from this address; try again a little later.";
    refusal(text, wait)
}

fn penalty(wait: Duration) -> Problem {
    let text = "Too many logins failed; wait before the next try.";
    refusal(text, wait)
}

fn refusal(text: &'static str, wait: Duration) -> Problem {
    metrics::counter!("lakechat_logins_throttled_total").increment(1);
    // Rounded up: a client that returns after this time must not come a fraction of a millisecond
    // early.
    let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    Problem::new(Code::RateLimited, text).retry_after_ms(ms)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("a name")
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    /// The wait of an attempt in ms; 0 if it is let through.
    fn wait(throttle: &Throttle, user: &UserName, from: IpAddr, now: Instant) -> u64 {
        match throttle.may_log_in(Some(user), from, now) {
            Ok(()) => 0,
            Err(problem) => problem.retry_after_ms.expect("a wait"),
        }
    }

    #[test]
    fn the_fifth_failure_costs_a_second_and_each_more_the_double() {
        let (throttle, ann, now) = (Throttle::new(0), name("ann"), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..15 {
            throttle.failed(Some(&ann), HOME, now);
            waits.push(wait(&throttle, &ann, HOME, now) / 1000);
        }
        assert_eq!(
            waits,
            [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
        );
        let later = now + Duration::from_secs(299);
        assert_eq!(wait(&throttle, &ann, HOME, later), 1000);
        assert_eq!(
            wait(&throttle, &ann, HOME, later + Duration::from_secs(1)),
            0
        );
    }

    #[test]
    fn a_success_resets_the_users_failures() {
        let (throttle, ann, now) = (Throttle::new(0), name("ann"), Instant::now());
        for _ in 0..4 {
            throttle.failed(Some(&ann), HOME, now);
        }
        throttle.succeeded(&ann, HOME);
        throttle.failed(Some(&ann), HOME, now);
        assert_eq!(wait(&throttle, &ann, HOME, now), 0);
    }

    #[test]
    fn guessing_from_one_address_does_not_lock_the_user_out_elsewhere() {
        let (throttle, ann) = (Throttle::new(0), name("ann"));
        let mut now = Instant::now();
        for _ in 0..500 {
            throttle.failed(Some(&ann), AWAY, now);
            now += Duration::from_millis(wait(&throttle, &ann, AWAY, now));
            assert_eq!(wait(&throttle, &ann, HOME, now), 0);
        }
    }

    #[test]
    fn guessing_from_many_addresses_slows_all_but_those_the_user_came_from() {
        let (throttle, ann, now) = (Throttle::new(0), name("ann"), Instant::now());
        throttle.succeeded(&ann, HOME);
        for n in 0..100 {
            throttle.failed(Some(&ann), address(n), now);
        }
        assert_eq!(wait(&throttle, &ann, AWAY, now), 30_000);
        assert_eq!(wait(&throttle, &ann, HOME, now), 0);
        assert_eq!(wait(&throttle, &name("bob"), AWAY, now), 0);
    }

    #[test]
    fn one_password_for_many_users_is_slowed_by_address_and_success_is_no_way_out() {
        let (throttle, now) = (Throttle::new(0), Instant::now());
        for n in 0..20 {
            assert_eq!(wait(&throttle, &name(&format!("u{n}")), AWAY, now), 0);
            throttle.failed(Some(&name(&format!("u{n}"))), AWAY, now);
            throttle.succeeded(&name("eve"), AWAY);
        }
        assert_eq!(wait(&throttle, &name("u20"), AWAY, now), 1000);
        assert!(throttle.may_log_in(None, AWAY, now).is_err());
        assert_eq!(wait(&throttle, &name("u20"), HOME, now), 0);
    }

    #[test]
    fn typing_errors_of_an_office_are_forgotten_in_time() {
        let (throttle, mut now) = (Throttle::new(0), Instant::now());
        for n in 0..200 {
            throttle.failed(Some(&name(&format!("u{n}"))), HOME, now);
            now += Duration::from_secs(30);
            assert_eq!(wait(&throttle, &name("ann"), HOME, now), 0);
        }
    }

    #[test]
    fn tries_are_limited_by_address_whatever_comes_of_them() {
        let throttle = Throttle::new(1);
        assert!((0..5).all(|_| throttle.count_try(HOME).is_ok()));
        let problem = throttle.count_try(HOME).expect_err("a burst is over");
        assert_eq!(problem.code, Code::RateLimited);
        assert!(
            problem
                .retry_after_ms
                .is_some_and(|ms| (1..=1000).contains(&ms))
        );
        assert!(throttle.count_try(AWAY).is_ok());
        assert!((0..50).all(|_| throttle.count_refresh(HOME).is_ok()));
        assert!(throttle.count_refresh(HOME).is_err());
    }
}
