//! How often somebody may try to log in.
//!
//! Tries are limited for each address whatever comes of them. Failures in a row cost a growing wait,
//! counted three ways, because one way alone can be turned against somebody:
//!
//! - for a user at one address: strict. The wait stops guessing from there, and it does not reach
//!   the user, who is elsewhere;
//! - for an address: stops going through many users with one password. It takes more failures and
//!   forgets them faster, as an office of people may share the address. No success resets it: who
//!   guesses may well have an account;
//! - for a user wherever the tries come from: stops guessing from many addresses. The wait stays
//!   short, and an address from which the user did log in is exempt, or else anybody with many
//!   addresses could lock anybody out.
//!
//! During a wait a try is refused before the password is looked at, so the right one is too, and
//! does not count. Tries under way at once are all let through, as the last failure is not known
//! yet; the limit of tries bounds them. All this is this server's own and gone when it restarts.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::domain::{Code, Problem, UserName};
use crate::limits::{KeyedLimit, network};

/// Entries of each cache; beyond it those go first that are of least use.
const MOST_ENTRIES: u64 = 100_000;

/// After this long without another failure nothing is remembered.
const FORGET_ALL_AFTER: Duration = Duration::from_secs(3600);

/// How long an address from which a user did log in is known.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// A refresh costs no hash, and whoever shares an address refreshes several times an hour.
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
    /// `per_address`: logins and registrations a second; 0: no limit.
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

    /// Takes one try to log in or to register from an address.
    pub fn count_try(&self, from: IpAddr) -> Result<(), Problem> {
        self.tries.check(&network(from)).map_err(too_often)
    }

    /// Takes one refresh from an address.
    pub fn count_refresh(&self, from: IpAddr) -> Result<(), Problem> {
        self.refreshes.check(&network(from)).map_err(too_often)
    }

    /// Whether a login may be tried after what failed before. `user` is None for a name that nobody
    /// can have.
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

/// What failures cost: nothing until there are `free` of them, then a wait of 1 s that doubles with
/// each more.
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

/// Failures in a row by key.
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
    // Rounded up: who comes back then is not refused for the last part of a millisecond.
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

    /// The wait that a try is told, in ms; 0 when it is let through.
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
