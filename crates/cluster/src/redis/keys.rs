//! The names of keys.

use std::net::IpAddr;

use uuid::Uuid;

use crate::owner::{Installation, foreign};
use lakechat_core::domain::{ChannelName, UserName};
use lakechat_core::limits::network;

/// The names of keys with one prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Keys {
        Keys {
            prefix: prefix.to_owned(),
        }
    }

    /// The key that names the installation.
    pub fn installation(&self) -> String {
        format!("{}installation", self.prefix)
    }

    /// The Pub/Sub channel of an installation.
    pub fn revocations(&self, of: &Installation) -> String {
        format!("{}revocations:{}", self.prefix, of.id)
    }

    /// Says that the keys don't belong to `ours`.
    pub fn not_ours(&self, owner: Option<&Installation>, ours: &Installation) -> String {
        let place = place_name(&self.prefix);
        let advice = "correct redis.prefix, or hbase.namespace and hbase.table_prefix";
        match owner {
            Some(owner) => format!("{}: {advice}", foreign(&place, owner, ours)),
            None => format!("{} does not name an installation", self.installation()),
        }
    }

    pub fn session(&self, id: Uuid) -> String {
        format!("{}session:{id}", self.prefix)
    }

    pub fn user(&self, user: &UserName) -> String {
        format!("{}user:{user}", self.prefix)
    }

    /// The sessions from a network.
    pub fn network(&self, address: IpAddr) -> String {
        format!("{}address:{}", self.prefix, network(address))
    }

    pub fn channel(&self, channel: &ChannelName) -> String {
        format!("{}channel:{channel}", self.prefix)
    }
}

pub(super) fn place_name(prefix: &str) -> String {
    format!("the prefix {prefix} in Redis (redis.prefix)")
}
