//! What is said on one connection after another: joins, cursors, sends and their answers.
//!
//! Frames in, frames and events out; no socket and no clock of its own. Times are those of the
//! session's clock.

mod answers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::event::Event;
use super::frame::{Limits, Outgoing, Welcome};
use super::outbox::{Outbox, Pending, Post};
use super::wire::{Page, Refusal};
use lakechat_core::domain::{ChannelName, Id, UserName};

/// How far a channel is on this connection.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Not joined; a join is due at that time.
    Away(Duration),
    Joining,
    /// Joined, and it is asked which message is the newest: what comes up to it may be one's own.
    Asking(u64),
    /// Joined; sends wait until the cursor is there.
    CatchingUp(Id),
    /// Joined; sends wait until that time, because the server asked for it.
    Paused(Duration),
    Live,
}

#[derive(Debug)]
struct Subscription {
    /// The largest id seen; none before the first `joined`.
    cursor: Option<Id>,
    phase: Phase,
    /// The ref of this connection's join: what a failure on the way refers to.
    join_ref: u64,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{0}")]
    Refused(Refusal),
    /// The connection went before the answer came, or there is none.
    #[error("not connected")]
    Disconnected,
}

pub(super) type Answer = oneshot::Sender<Result<Page, HistoryError>>;

/// The state of a session, whatever connection it is on.
#[derive(Debug)]
pub(super) struct Conversation {
    subscriptions: BTreeMap<ChannelName, Subscription>,
    outbox: Outbox,
    histories: HashMap<u64, Answer>,
    next_ref: u64,
    /// None while there is no connection.
    connection: Option<Connection>,
    /// Sends in flight at once.
    window: usize,
    /// Posts tried longer ago than this may be forgotten by the server's window: look first.
    stale_after: Duration,
    /// Frames to write and events to tell, taken by the session after each step.
    pub frames: VecDeque<String>,
    pub events: VecDeque<Event>,
}

#[derive(Debug)]
struct Connection {
    user: UserName,
    limits: Limits,
}

impl Conversation {
    pub fn new(window: usize, stale_after: Duration) -> Conversation {
        Conversation {
            subscriptions: BTreeMap::new(),
            outbox: Outbox::default(),
            histories: HashMap::new(),
            next_ref: 1,
            connection: None,
            window,
            stale_after,
            frames: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub fn connected(&mut self, welcome: &Welcome, now: Duration) {
        self.connection = Some(Connection {
            user: welcome.user.clone(),
            limits: welcome.limits,
        });
        for subscription in self.subscriptions.values_mut() {
            subscription.phase = Phase::Away(now);
        }
        self.advance(now);
    }

    pub fn disconnected(&mut self, now: Duration) {
        self.connection = None;
        self.frames.clear();
        self.outbox.disconnected();
        for (_, answer) in self.histories.drain() {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(Err(HistoryError::Disconnected));
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.phase = Phase::Away(now);
        }
        // Sends to channels left meanwhile: nothing would answer them any more.
        for channel in self.outbox.channels() {
            if !self.subscriptions.contains_key(&channel) {
                self.abandon(&channel);
            }
        }
    }

    /// Joins a channel, after an id; one that is joined stays as it is.
    pub fn join(&mut self, channel: ChannelName, after: Option<Id>, now: Duration) {
        self.subscriptions
            .entry(channel)
            .or_insert_with(|| Subscription {
                cursor: after,
                phase: Phase::Away(now),
                join_ref: 0,
            });
        self.advance(now);
    }

    pub fn leave(&mut self, channel: &ChannelName) {
        let Some(subscription) = self.subscriptions.remove(channel) else {
            return;
        };
        self.abandon(channel);
        if self.connection.is_some() && !matches!(subscription.phase, Phase::Away(_)) {
            let reference = self.reference();
            self.frames
                .push_back(Outgoing::Leave { reference, channel }.encode());
        } else {
            self.left(channel.clone(), None);
        }
    }

    pub fn post(&mut self, pending: Pending, now: Duration) {
        if self.subscriptions.contains_key(&pending.post.channel) {
            self.outbox.push(pending);
            self.advance(now);
        } else {
            self.refused(pending.post, not_joined());
        }
    }

    pub fn history(
        &mut self,
        channel: &ChannelName,
        before: Option<Id>,
        limit: usize,
        answer: Answer,
    ) {
        if self.connection.is_none() {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(Err(HistoryError::Disconnected));
            return;
        }
        let reference = self.ask(channel, before, limit);
        self.histories.insert(reference, answer);
    }

    /// A new access token for the running connection.
    pub fn refresh(&mut self, token: &str) {
        self.frames.push_back(Outgoing::Refresh { token }.encode());
    }

    /// When `advance` has something to do though nothing happened.
    pub fn next_due(&self) -> Option<Duration> {
        self.connection.as_ref()?;
        let waiting = self.subscriptions.values().filter_map(|s| match s.phase {
            Phase::Away(due) | Phase::Paused(due) => Some(due),
            Phase::Live | Phase::Joining | Phase::Asking(_) | Phase::CatchingUp(_) => None,
        });
        waiting.min()
    }

    /// Writes what is due: joins, then sends in the order of their posts.
    pub fn advance(&mut self, now: Duration) {
        if self.connection.is_none() {
            return;
        }
        self.join_due(now);
        self.resume_due(now);
        self.send_due(now);
    }

    fn join_due(&mut self, now: Duration) {
        for (channel, subscription) in &mut self.subscriptions {
            if matches!(subscription.phase, Phase::Away(due) if due <= now) {
                let reference = self.next_ref;
                self.next_ref += 1;
                subscription.join_ref = reference;
                subscription.phase = Phase::Joining;
                let after = subscription.cursor;
                let join = Outgoing::Join {
                    reference,
                    channel,
                    after,
                };
                self.frames.push_back(join.encode());
            }
        }
    }

    /// Channels that have waited, or that have caught up, go on.
    fn resume_due(&mut self, now: Duration) {
        for subscription in self.subscriptions.values_mut() {
            let live = match subscription.phase {
                Phase::Paused(until) => until <= now,
                Phase::CatchingUp(newest) => subscription.cursor >= Some(newest),
                Phase::Away(_) | Phase::Joining | Phase::Asking(_) | Phase::Live => false,
            };
            if live {
                subscription.phase = Phase::Live;
            }
        }
    }

    fn send_due(&mut self, now: Duration) {
        let Some(limits) = self.connection.as_ref().map(|c| c.limits) else {
            return;
        };
        let mut room = self.window.saturating_sub(self.outbox.in_flight());
        let mut too_large = Vec::new();
        for pending in self.outbox.iter_mut() {
            let subscription = self.subscriptions.get(&pending.post.channel);
            let live = subscription.is_some_and(|s| s.phase == Phase::Live);
            if room == 0 || pending.in_flight.is_some() || !live {
                continue;
            }
            let reference = self.next_ref;
            self.next_ref += 1;
            pending.in_flight = Some(reference);
            let frame = send_frame(reference, &pending.post);
            if frame.len() > limits.frame_bytes {
                // The server would close the connection for it, each time again.
                too_large.push((reference, frame.len()));
                continue;
            }
            pending.first_tried.get_or_insert(now);
            self.frames.push_back(frame);
            room -= 1;
        }
        for (reference, bytes) in too_large {
            let text = format!(
                "The frame has {bytes} bytes; {} are allowed.",
                limits.frame_bytes
            );
            if let Some(post) = self.outbox.answered(reference) {
                self.refused(post, Refusal::own("message_too_large", text));
            }
        }
    }

    fn ask(&mut self, channel: &ChannelName, before: Option<Id>, limit: usize) -> u64 {
        let reference = self.reference();
        let frame = Outgoing::History {
            reference,
            channel,
            before,
            limit,
        };
        self.frames.push_back(frame.encode());
        reference
    }

    fn reference(&mut self) -> u64 {
        let reference = self.next_ref;
        self.next_ref += 1;
        reference
    }

    fn abandon(&mut self, channel: &ChannelName) {
        for post in self.outbox.abandon(channel) {
            self.refused(post, not_joined());
        }
    }

    fn left(&mut self, channel: ChannelName, refusal: Option<Refusal>) {
        self.events.push_back(Event::Left { channel, refusal });
    }

    fn refused(&mut self, post: Post, refusal: Refusal) {
        self.events.push_back(Event::Refused {
            channel: post.channel,
            client_msg_id: post.client_msg_id,
            refusal,
        });
    }
}

fn not_joined() -> Refusal {
    Refusal::own("not_a_member", "Join the channel before sending to it.")
}

fn send_frame(reference: u64, post: &Post) -> String {
    let send = Outgoing::Send {
        reference,
        channel: &post.channel,
        text: &post.text,
        client_msg_id: &post.client_msg_id,
        reply_to: post.reply_to,
        file_id: post.file_id,
    };
    send.encode()
}
