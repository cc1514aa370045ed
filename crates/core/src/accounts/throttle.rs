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
//! - By user, over all addresses: stops guessing from many addresses. The wait stays short.
//!
//! A user is *known* at an address after a login, registration or refresh from it. A known user is
//! subject to the first count alone, and logs in under a limit of attempts of its own. Otherwise
//! anybody with many addresses could lock the user out, and anybody at the same address could lock
//! out all who share it.
//!
//! An IPv6 address counts in its networks of /64, /56 and /48: a customer of a provider has one of
//! these, and can use all addresses in it.
//!
//! During a wait an attempt is refused before the password is verified, even the right one, and it
//! isn't counted. Attempts that run at the same time are all let through, because the outcome of
//! the others isn't known yet; the limit on attempts bounds them. The counts are local to this
//! server and are lost when it restarts. Who is known where can be looked up in the login sessions.

mod failures;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use self::failures::{Failures, MOST_ENTRIES, Rule};
use crate::domain::{Code, Problem, UserName};
use crate::limits::{NetworkLimit, network, networks};

/// How long a user is known at an address.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many refreshes are allowed for each login: a refresh needs no hash, and each client behind a
/// shared address refreshes several times an hour.
const REFRESHES_A_LOGIN: u32 = 10;

const FOR_PAIR: Rule = Rule {
    free: 5,
    longest: Duration::from_secs(300),
    forget_one_after: Duration::from_secs(600),
};

/// For an IPv4 address or a /64. Wider networks have more free failures.
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
    /// Registrations, and logins of users who aren't known at the address.
    tries: NetworkLimit,
    known_logins: NetworkLimit,
    lookups: NetworkLimit,
    refreshes: NetworkLimit,
    pairs: Failures<(UserName, IpAddr)>,
    /// By the address's networks, narrowest first.
    addresses: [Failures<IpAddr>; 3],
    users: Failures<UserName>,
    known: Cache<(UserName, IpAddr), ()>,
}

impl Throttle {
    /// `per_address`: logins and registrations per second; 0: no limit.
    pub fn new(per_address: u32) -> Throttle {
        Throttle {
            tries: NetworkLimit::new(per_address),
            known_logins: NetworkLimit::new(per_address),
            lookups: NetworkLimit::new(per_address),
            refreshes: NetworkLimit::new(per_address.saturating_mul(REFRESHES_A_LOGIN)),
            pairs: Failures::new(FOR_PAIR),
            addresses: NetworkLimit::FACTORS.map(|factor| {
                Failures::new(Rule {
                    free: FOR_ADDRESS.free * factor,
                    ..FOR_ADDRESS
                })
            }),
            users: Failures::new(FOR_USER),
            known: Cache::builder()
                .max_capacity(MOST_ENTRIES)
                .time_to_live(KNOWN_FOR)
                .build(),
        }
    }

    /// Counts a registration, and checks the limit of its address.
    pub fn admit_registration(&self, from: IpAddr) -> Result<(), Problem> {
        self.tries.check(from).map_err(too_often)
    }

    /// Counts a refresh, and checks the limit of its address.
    pub fn admit_refresh(&self, from: IpAddr) -> Result<(), Problem> {
        self.refreshes.check(from).map_err(too_often)
    }

    /// Counts a login, and checks the limit of its address and whether earlier failures permit it.
    /// `user` is `None` if the name is not a valid user name.
    pub fn admit_login(
        &self,
        user: Option<&UserName>,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), Problem> {
        let known = user.filter(|user| self.is_known(user, from));
        let (limit, wait) = match known {
            Some(user) => (&self.known_logins, self.wait_for_pair(user, from, now)),
            None => (&self.tries, self.wait_for_unknown(user, from, now)),
        };
        limit.check(from).map_err(too_often)?;
        wait.map_or(Ok(()), |wait| Err(penalty(wait)))
    }

    pub fn is_known(&self, user: &UserName, from: IpAddr) -> bool {
        self.known.contains_key(&(user.clone(), network(from)))
    }

    /// Whether an attempt that was refused may be looked up in the login sessions. It has the limit
    /// of logins, because a lookup costs as much of the directory as an attempt.
    pub fn may_look_up(&self, from: IpAddr) -> bool {
        self.lookups.check(from).is_ok()
    }

    pub fn failed(&self, user: Option<&UserName>, from: IpAddr, now: Instant) {
        for (failures, network) in self.addresses.iter().zip(networks(from)) {
            failures.add(network, now);
        }
        if let Some(user) = user {
            self.pairs.add((user.clone(), network(from)), now);
            self.users.add(user.clone(), now);
        }
    }

    /// The user has given the right password.
    pub fn succeeded(&self, user: &UserName, from: IpAddr) {
        self.pairs.forget(&(user.clone(), network(from)));
        self.users.forget(user);
        self.remember(user, from);
    }

    /// The user is known at the address.
    pub fn remember(&self, user: &UserName, from: IpAddr) {
        self.known.insert((user.clone(), network(from)), ());
    }

    fn wait_for_pair(&self, user: &UserName, from: IpAddr, now: Instant) -> Option<Duration> {
        self.pairs.wait(&(user.clone(), network(from)), now)
    }

    fn wait_for_unknown(
        &self,
        user: Option<&UserName>,
        from: IpAddr,
        now: Instant,
    ) -> Option<Duration> {
        let of_user = user.and_then(|user| {
            let everywhere = self.users.wait(user, now);
            self.wait_for_pair(user, from, now).max(everywhere)
        });
        let of_networks = self.addresses.iter().zip(networks(from));
        let of_networks =
            of_networks.filter_map(|(failures, network)| failures.wait(&network, now));
        of_networks.max().max(of_user)
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
        match throttle.admit_login(Some(user), from, now) {
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
        assert_eq!(wait(&throttle, &name("eve"), AWAY, now), 0, "known there");
        assert_eq!(wait(&throttle, &name("u20"), AWAY, now), 1000);
        assert!(throttle.admit_login(None, AWAY, now).is_err());
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
        assert!((0..5).all(|_| throttle.admit_registration(HOME).is_ok()));
        let problem = throttle
            .admit_registration(HOME)
            .expect_err("a burst is over");
        assert_eq!(problem.code, Code::RateLimited);
        assert!(
            problem
                .retry_after_ms
                .is_some_and(|ms| (1..=1000).contains(&ms))
        );
        assert!(throttle.admit_registration(AWAY).is_ok());
        assert!((0..50).all(|_| throttle.admit_refresh(HOME).is_ok()));
        assert!(throttle.admit_refresh(HOME).is_err());
    }

    #[test]
    fn known_users_have_attempts_of_their_own_at_a_shared_address() {
        let (throttle, ann, now) = (Throttle::new(1), name("ann"), Instant::now());
        throttle.remember(&ann, HOME);
        while throttle.admit_registration(HOME).is_ok() {}
        let stranger = throttle.admit_login(Some(&name("bob")), HOME, now);
        assert_eq!(stranger.expect_err("none is left").code, Code::RateLimited);
        assert!((0..5).all(|_| throttle.admit_login(Some(&ann), HOME, now).is_ok()));
        assert!(throttle.admit_login(Some(&ann), HOME, now).is_err());
    }

    #[test]
    fn a_known_user_still_waits_after_own_failures() {
        let (throttle, ann, now) = (Throttle::new(0), name("ann"), Instant::now());
        throttle.remember(&ann, HOME);
        for _ in 0..5 {
            assert_eq!(wait(&throttle, &ann, HOME, now), 0);
            throttle.failed(Some(&ann), HOME, now);
        }
        assert_eq!(wait(&throttle, &ann, HOME, now), 1000);
    }

    #[test]
    fn guessing_from_many_ipv6_networks_of_one_customer_is_slowed() {
        let (throttle, now) = (Throttle::new(0), Instant::now());
        let subnet = |n: u16| IpAddr::from([0x2001, 0xdb8, 7, n, 0, 0, 0, 1]);
        for n in 0..40 {
            assert_eq!(wait(&throttle, &name(&format!("u{n}")), subnet(n), now), 0);
            throttle.failed(Some(&name(&format!("u{n}"))), subnet(n), now);
        }
        assert_eq!(wait(&throttle, &name("u40"), subnet(40), now), 1000);
        let other_customer = IpAddr::from([0x2001, 0xdb8, 8, 0, 0, 0, 0, 1]);
        assert_eq!(wait(&throttle, &name("u40"), other_customer, now), 0);
    }
}
