//! Which message a command without an id means.

use std::collections::HashMap;

use lakechat_client::ChatMessage;
use lakechat_core::domain::{ChannelName, Id, UserName};

/// The last messages of each channel that were shown: anybody's, and the user's own.
#[derive(Debug, Default)]
pub(super) struct LastMessages {
    any: HashMap<ChannelName, Id>,
    own: HashMap<ChannelName, Id>,
}

impl LastMessages {
    pub fn shown(&mut self, channel: &ChannelName, message: &ChatMessage, user: &UserName) {
        if message.deleted_at.is_some() {
            return;
        }
        let note = |last: &mut HashMap<ChannelName, Id>| {
            let last = last.entry(channel.clone()).or_insert(message.id);
            *last = message.id.max(*last);
        };
        note(&mut self.any);
        if message.sender == *user {
            note(&mut self.own);
        }
    }

    /// The last message of a channel, by whomever.
    pub fn any(&self, channel: Option<&ChannelName>) -> Option<Id> {
        self.any.get(channel?).copied()
    }

    /// The user's last message in a channel.
    pub fn own(&self, channel: Option<&ChannelName>) -> Option<Id> {
        self.own.get(channel?).copied()
    }
}
