//! The events of the session.

use std::time::Duration;

use tokio::time::timeout;

use super::{InputKind, Talk};
use lakechat_client::{ChatMessage, Event, Leaving};
use lakechat_core::domain::{ChannelName, FileId, Id};

/// Number of messages that are shown when a channel is joined.
const TAIL: usize = 20;

/// Timeout for these messages.
const TAIL_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of file names that are remembered for downloads.
const KNOWN_FILES: usize = 10_000;

impl Talk {
    pub(super) async fn handle_event(&mut self, event: Event) {
        match event {
            Event::Message { channel, message } => {
                self.show(&channel, &message);
            }
            Event::Changed { channel, change } => {
                self.screen.change(self.channel.as_ref(), &channel, &change);
            }
            Event::Joined {
                channel,
                at,
                members,
                ..
            } => {
                self.waiting.progressed();
                self.has_joined = true;
                if self.joined.insert(channel.clone()) {
                    let who = self.credentials.user();
                    self.screen
                        .note(&format!("#{channel}, {members} members; you are {who}"));
                    self.show_tail(&channel, id_after(at)).await;
                }
            }
            Event::Left { channel, why } => self.left(&channel, why),
            Event::Acked { client_msg_id, .. } => {
                self.waiting.answered(&client_msg_id);
            }
            Event::Refused {
                client_msg_id,
                refusal,
                ..
            } => {
                let what = self.waiting.answered(&client_msg_id).unwrap_or_default();
                self.fail(&format!("not sent: {what} ({refusal})"));
            }
            Event::Disconnected { reason, retry_in } => {
                let wait = retry_in.as_secs_f32();
                self.screen
                    .note(&format!("{reason}; trying again in {wait:.1} s"));
            }
            Event::Reconnected(_) => self.screen.note("connected again"),
            Event::Connected(_) | Event::Deferred { .. } | Event::Stopped(_) => {}
        }
    }

    /// Lines that were meant for the channel are not sent to another one.
    fn left(&mut self, channel: &ChannelName, why: Leaving) {
        let text = match why {
            // A later join may be under way.
            Leaving::Requested => return self.screen.note(&format!("you left #{channel}")),
            Leaving::Refused(refusal) => format!("can't join #{channel}: {refusal}"),
            Leaving::MembershipEnded => format!("you are no longer a member of #{channel}"),
        };
        self.joined.remove(channel);
        if self.channel.as_ref() != Some(channel) {
            return self.screen.note(&text);
        }
        self.channel = None;
        if self.waiting.is_input_over() {
            self.screen.note(&text);
        } else if self.input != InputKind::Typed && self.has_joined {
            self.give_up(format!("{text}; further input is not sent"));
        } else if self.has_joined {
            self.screen.note(&text);
            self.screen.note("you are in no channel: /join CHANNEL");
        } else {
            self.give_up(text);
        }
    }

    pub(super) async fn show_tail(&mut self, channel: &ChannelName, before: Id) {
        let credentials = self.credentials.clone();
        let api = credentials.api();
        let newest = |token: String| async move { api.newest(&token, channel, before, TAIL).await };
        match timeout(TAIL_TIMEOUT, credentials.authorized(newest)).await {
            Ok(Ok(page)) => {
                for message in &page.messages {
                    self.show(channel, message);
                }
            }
            Ok(Err(error)) => self
                .screen
                .note(&format!("can't load the history: {error}")),
            Err(_) => self
                .screen
                .note("can't load the history: no answer in time"),
        }
    }

    fn show(&mut self, channel: &ChannelName, message: &ChatMessage) {
        if let Some(file) = &message.file {
            self.remember(file.id, &file.name);
        }
        self.last.shown(channel, message, &self.credentials.user());
        self.screen.message(self.channel.as_ref(), channel, message);
    }

    fn remember(&mut self, id: FileId, name: &str) {
        if self.files.len() < KNOWN_FILES {
            self.files.insert(id, name.to_owned());
        }
    }
}

/// The smallest id above another.
fn id_after(id: Id) -> Id {
    Id::from_u64(id.as_u64().saturating_add(1)).unwrap_or(Id::MAX)
}
