//! How much users may send, and channels take, on all servers together.
//!
//! Servers need not ask each other: the log shows each of them what the others have admitted. Until
//! a record has come back, some milliseconds, the others don't know of it. What they admit meanwhile
//! beyond the limit is a debt, so the average holds.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::log::SendOutcome;
use super::log::entry::Entry;
use super::log::record::{Body, Record};
use crate::domain::{ChannelName, Code, Problem, UserName};
use crate::limits::{BURST_SECONDS, KeyedLimit};

/// After this time a bucket has regained what a record took.
const FORGOTTEN: Duration = Duration::from_secs(BURST_SECONDS as u64);

pub struct SendLimits {
    per_user: u32,
    per_channel: u32,
    messages_of_users: KeyedLimit<UserName>,
    /// Its rate is that of messages.
    events_of_users: KeyedLimit<UserName>,
    messages_of_channels: KeyedLimit<ChannelName>,
}

impl SendLimits {
    /// Per second, on average; 0: no limit.
    pub fn new(per_user: u32, per_channel: u32) -> SendLimits {
        SendLimits {
            per_user,
            per_channel,
            messages_of_users: KeyedLimit::new(per_user),
            events_of_users: KeyedLimit::new(per_user),
            messages_of_channels: KeyedLimit::new(per_channel),
        }
    }

    /// Admits a message or a change of one.
    pub fn admit_message(&self, channel: &ChannelName, user: &UserName) -> Result<(), Problem> {
        let (of_users, of_channels) = (self.per_user, self.per_channel);
        self.messages_of_users
            .check(user)
            .map_err(|wait| limited("A user may send at most", of_users, "messages", wait))?;
        self.messages_of_channels
            .check(channel)
            .map_err(|wait| limited("A channel takes at most", of_channels, "messages", wait))
    }

    /// Admits channel events (joins, topics, archivals), all or none.
    pub fn admit_events(&self, user: &UserName, count: u32) -> Result<(), Problem> {
        let limit = self.per_user;
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        self.events_of_users
            .take(user, count)
            .map_err(|wait| limited("A user may cause at most", limit, "channel events", wait))
    }

    /// Counts what other servers have admitted. `own`: the outcomes of this server's sends among the
    /// entries, in the same order. `now_ms`: the time by the log's clock.
    pub fn count_others(&self, entries: &[Arc<Entry>], own: &[SendOutcome], now_ms: u64) {
        if self.per_user == 0 && self.per_channel == 0 {
            return;
        }
        let mut own = own.iter().map(|outcome| outcome.id).peekable();
        for entry in entries {
            let age = Duration::from_millis(now_ms.saturating_sub(entry.append_ms));
            if own.next_if_eq(&entry.id).is_none()
                && age < FORGOTTEN
                && let Some(record) = entry.accepted()
            {
                self.charge(record, age);
            }
        }
    }

    fn charge(&self, record: &Record, age: Duration) {
        match record.body {
            Body::Message { .. } | Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } => {
                self.messages_of_users.charge(&record.sender, age);
                self.messages_of_channels.charge(&record.channel, age);
            }
            Body::Member { .. } | Body::Topic { .. } | Body::Archive => {
                self.events_of_users.charge(&record.sender, age);
            }
        }
    }
}

fn limited(who: &'static str, limit: u32, what: &'static str, wait: Duration) -> Problem {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let text = format!("{who} {limit} {what} per second on average.");
    let problem = Problem::new(Code::RateLimited, text);
    problem.limit(u64::from(limit)).retry_after_ms(ms)
}
