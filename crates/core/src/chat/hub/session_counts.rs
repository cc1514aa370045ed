//! How many sessions users and networks have on this server.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::Listener;
use crate::domain::UserName;
use crate::limits::network;
use crate::ports::presence::ConnectionLimits;

/// Up to so many servers can't exceed a limit together while each of them has less than this share of
/// it. So nobody has to be asked about most sessions.
const SHARES: usize = 16;

#[derive(Debug, Default)]
pub(super) struct SessionCounts {
    of_users: HashMap<UserName, usize>,
    of_networks: HashMap<IpAddr, usize>,
}

impl SessionCounts {
    pub(super) fn of_user(&self, user: &UserName) -> usize {
        self.of_users.get(user).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, listener: &Listener) {
        *self.of_users.entry(listener.user.clone()).or_insert(0) += 1;
        let network = network(listener.address);
        *self.of_networks.entry(network).or_insert(0) += 1;
    }

    pub(super) fn remove(&mut self, listener: &Listener) {
        subtract(&mut self.of_users, &listener.user);
        subtract(&mut self.of_networks, &network(listener.address));
    }

    /// Whether a further session may exceed a limit of all servers together.
    pub(super) fn may_exceed(&self, listener: &Listener, limits: ConnectionLimits) -> bool {
        let network = network(listener.address);
        let from_network = self.of_networks.get(&network).copied().unwrap_or(0);
        let is_share = |held: usize, most: usize| most > 0 && held >= most / SHARES;
        is_share(self.of_user(&listener.user), limits.per_user)
            || is_share(from_network, limits.per_network)
    }
}

fn subtract<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
