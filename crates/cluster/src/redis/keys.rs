//! The names of keys.

use uuid::Uuid;

use lakechat_core::domain::{ChannelName, UserName};

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

    pub fn session(&self, id: Uuid) -> String {
        format!("{}session:{id}", self.prefix)
    }

    pub fn user(&self, user: &UserName) -> String {
        format!("{}user:{user}", self.prefix)
    }

    pub fn channel(&self, channel: &ChannelName) -> String {
        format!("{}channel:{channel}", self.prefix)
    }
}
