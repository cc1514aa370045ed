//! The order in which calls get a connection, and how many may wait.

use std::collections::{HashMap, VecDeque};

use lakechat_core::domain::UserName;
use lakechat_core::ports::CalledFor;
use lakechat_core::threads::{Call, Context};

/// Calls of the server's own that may wait: logins, checks of tokens, its upkeep.
const MAX_OWN: usize = 1_024;

/// Calls for one user that may wait.
const MAX_OF_USER: usize = 256;

/// Calls for single users that may wait, together; and as many for several users at a time. More would be
/// over their deadline before their turn.
const MAX_OF_USERS: usize = 8_192;

/// Calls that wait, in lanes that take turns: the server's own, those for several users, those for single
/// users. Within the last one the users take turns.
///
/// So however many calls a user makes, every third call that is taken is one of the server's own, such as a
/// login's, as long as there are any; and each user waits for one call of every other.
pub(super) struct Lanes<C: Context> {
    own: VecDeque<Call<C>>,
    shared: VecDeque<Call<C>>,
    users: Users<C>,
    /// The lane that is next.
    next: usize,
}

struct Users<C: Context> {
    calls: HashMap<UserName, VecDeque<Call<C>>>,
    /// The users with calls that wait, each once. The first is next.
    turns: VecDeque<UserName>,
    waiting: usize,
}

/// Too many calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("too many calls wait for HBase")]
    ForAll,
    #[error("too many calls of this user wait for HBase")]
    ForThisUser,
}

impl<C: Context> Lanes<C> {
    pub fn new() -> Lanes<C> {
        Lanes {
            own: VecDeque::new(),
            shared: VecDeque::new(),
            users: Users {
                calls: HashMap::new(),
                turns: VecDeque::new(),
                waiting: 0,
            },
            next: 0,
        }
    }

    pub fn push(&mut self, called_for: CalledFor, call: Call<C>) -> Result<(), Full> {
        match called_for {
            CalledFor::Server => push(&mut self.own, call, MAX_OWN),
            CalledFor::SeveralUsers => push(&mut self.shared, call, MAX_OF_USERS),
            CalledFor::User(user) => self.users.push(user, call),
        }
    }

    pub fn pop(&mut self) -> Option<Call<C>> {
        const LANES: usize = 3;
        for _ in 0..LANES {
            let lane = self.next;
            self.next = (lane + 1) % LANES;
            let call = match lane {
                0 => self.own.pop_front(),
                1 => self.shared.pop_front(),
                _ => self.users.pop(),
            };
            if call.is_some() {
                return call;
            }
        }
        None
    }

    /// The next call of the server's own.
    pub fn pop_own(&mut self) -> Option<Call<C>> {
        self.own.pop_front()
    }
}

fn push<C: Context>(lane: &mut VecDeque<Call<C>>, call: Call<C>, max: usize) -> Result<(), Full> {
    if lane.len() >= max {
        return Err(Full::ForAll);
    }
    lane.push_back(call);
    Ok(())
}

impl<C: Context> Users<C> {
    fn push(&mut self, user: UserName, call: Call<C>) -> Result<(), Full> {
        if self.waiting >= MAX_OF_USERS {
            return Err(Full::ForAll);
        }
        let calls = self.calls.entry(user.clone()).or_default();
        if calls.len() >= MAX_OF_USER {
            return Err(Full::ForThisUser);
        }
        if calls.is_empty() {
            self.turns.push_back(user);
        }
        calls.push_back(call);
        self.waiting += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<Call<C>> {
        let user = self.turns.pop_front()?;
        let calls = self.calls.get_mut(&user).expect("it has calls");
        let call = calls.pop_front().expect("at least one");
        if calls.is_empty() {
            self.calls.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        self.waiting -= 1;
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that say who made them.
    enum Names {}

    impl Context for Names {
        type Ref<'a> = &'a mut Vec<String>;
        type Error = ();
    }

    fn user(name: &str) -> CalledFor {
        CalledFor::User(UserName::parse(name).expect("a plain name"))
    }

    fn push(lanes: &mut Lanes<Names>, by: CalledFor) -> Result<(), Full> {
        let name = match &by {
            CalledFor::Server => "own".to_owned(),
            CalledFor::SeveralUsers => "shared".to_owned(),
            CalledFor::User(user) => user.to_string(),
        };
        let (call, _answer) = Call::once(move |names: &mut Vec<String>| {
            names.push(name);
            Ok(())
        });
        lanes.push(by, call)
    }

    fn order(lanes: &mut Lanes<Names>, calls: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..calls {
            let mut call = lanes.pop().expect("it waits");
            call.run(&mut names).expect("it has a name");
        }
        names
    }

    #[test]
    fn lanes_take_turns_and_so_do_users() {
        let mut lanes = Lanes::new();
        for by in ["ann", "ann", "ann", "bob", "eve", "bob"] {
            push(&mut lanes, user(by)).expect("room");
        }
        for by in [
            CalledFor::Server,
            CalledFor::Server,
            CalledFor::SeveralUsers,
        ] {
            push(&mut lanes, by).expect("room");
        }
        let expected = [
            "own", "shared", "ann", "own", "bob", "eve", "ann", "bob", "ann",
        ];
        assert_eq!(order(&mut lanes, 9), expected);
        assert!(lanes.pop().is_none());
        let Users {
            calls,
            turns,
            waiting,
        } = &lanes.users;
        assert!(calls.is_empty() && turns.is_empty() && *waiting == 0);
    }

    #[test]
    fn user_who_fills_the_queue_takes_no_place_of_others() {
        let mut lanes = Lanes::new();
        for _ in 0..MAX_OF_USER {
            push(&mut lanes, user("ann")).expect("room");
        }
        assert_eq!(push(&mut lanes, user("ann")), Err(Full::ForThisUser));
        push(&mut lanes, user("bob")).expect("room");
        let mut others = 0;
        while push(&mut lanes, user(&format!("u{}", others / MAX_OF_USER))).is_ok() {
            others += 1;
        }
        assert_eq!(others + 1 + MAX_OF_USER, MAX_OF_USERS);
        assert_eq!(push(&mut lanes, user("zoe")), Err(Full::ForAll));
        push(&mut lanes, CalledFor::Server).expect("logins have places of their own");
        push(&mut lanes, CalledFor::SeveralUsers).expect("so have loads of channels");
        assert_eq!(order(&mut lanes, 4), ["own", "shared", "ann", "bob"]);
    }

    #[test]
    fn own_calls_are_bounded_too() {
        let mut lanes = Lanes::new();
        for _ in 0..MAX_OWN {
            push(&mut lanes, CalledFor::Server).expect("room");
        }
        assert_eq!(push(&mut lanes, CalledFor::Server), Err(Full::ForAll));
        assert!(lanes.pop_own().is_some());
        push(&mut lanes, CalledFor::Server).expect("room again");
        push(&mut lanes, user("ann")).expect("room");
    }
}
