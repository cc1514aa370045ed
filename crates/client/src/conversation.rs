//! The state of a session across its connections: joins, cursors, sends and their answers.
//!
//! A state machine: frames go in, frames and events come out. It has no socket and no clock; all
//! times are readings of the session's clock.

mod answers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::event::{Event, Leaving};
use super::frame::{Limits, Outgoing, Welcome};
use super::outbox::{Outbox, Pending, Post, PostAction};
use super::wire::{Page, Refusal};
use lakechat_core::domain::{ChannelName, Id, UserName};

/// The state of a channel on the current connection.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// A join is due at this time.
    NotJoined(Duration),
    Joining,
    /// Joined. The request with this `ref` asks for the newest message: up to there, own messages
    /// that were accepted on an earlier connection may still arrive.
    FindingNewest(u64),
    /// Joined. Sends wait until the cursor has reached this id.
    CatchingUp(Id),
    /// Joined. Sends wait until this time, as the server demanded, and until those that were sent
    /// meanwhile are answered, so that all are repeated in their order.
    Paused(Duration),
    Live,
}

#[derive(Debug)]
struct Subscription {
    /// The largest id received; None before the first `joined`.
    cursor: Option<Id>,
    phase: Phase,
    /// The `ref` of the join on this connection. An error during the resume carries it too.
    join_ref: u64,
}

/// Why a request for history failed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{0}")]
    Refused(Refusal),
    /// There is no connection, or it ended before the answer.
    #[error("not connected")]
    Disconnected,
}

pub(super) type HistoryReply = oneshot::Sender<Result<Page, HistoryError>>;

#[derive(Debug)]
pub(super) struct Conversation {
    subscriptions: BTreeMap<ChannelName, Subscription>,
    outbox: Outbox,
    histories: HashMap<u64, HistoryReply>,
    next_ref: u64,
    /// None while there is no connection.
    connection: Option<Connection>,
    /// Maximum number of sends in flight.
    window: usize,
    /// The server may no longer recognise a retry of a post that was first sent longer ago than
    /// this. Before the retry the resume has to show that the message does not exist.
    stale_after: Duration,
    /// To be drained by the driver after each call.
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
            subscription.phase = Phase::NotJoined(now);
        }
        self.advance(now);
    }

    pub fn disconnected(&mut self, now: Duration) {
        self.connection = None;
        self.frames.clear();
        self.outbox.disconnected();
        for (_, answer) in self.histories.drain() {
            // The caller may have stopped waiting.
            let _ = answer.send(Err(HistoryError::Disconnected));
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.phase = Phase::NotJoined(now);
        }
        // The answers to posts in channels that were left are lost with the connection.
        for channel in self.outbox.channels() {
            if !self.subscriptions.contains_key(&channel) {
                self.refuse_unsent(&channel);
            }
        }
    }

    /// Joins a channel, with the messages after an id. Does nothing if it is joined already.
    pub fn join(&mut self, channel: ChannelName, after: Option<Id>, now: Duration) {
        self.subscriptions
            .entry(channel)
            .or_insert_with(|| Subscription {
                cursor: after,
                phase: Phase::NotJoined(now),
                join_ref: 0,
            });
        self.advance(now);
    }

    pub fn leave(&mut self, channel: &ChannelName) {
        let Some(subscription) = self.subscriptions.remove(channel) else {
            return;
        };
        self.refuse_unsent(channel);
        if self.connection.is_some() && !matches!(subscription.phase, Phase::NotJoined(_)) {
            let reference = self.take_ref();
            self.frames
                .push_back(Outgoing::Leave { reference, channel }.encode());
        } else {
            self.left(channel.clone(), Leaving::Requested);
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
        answer: HistoryReply,
    ) {
        if self.connection.is_none() {
            // The caller may have stopped waiting.
            let _ = answer.send(Err(HistoryError::Disconnected));
            return;
        }
        let reference = self.request_history(channel, before, limit);
        self.histories.insert(reference, answer);
    }

    /// Sends a new access token on the running connection.
    pub fn refresh(&mut self, token: &str) {
        self.frames.push_back(Outgoing::Refresh { token }.encode());
    }

    /// When to call `advance` if nothing else happens before.
    pub fn next_due(&self) -> Option<Duration> {
        self.connection.as_ref()?;
        let waiting = self
            .subscriptions
            .iter()
            .filter_map(|(name, s)| match s.phase {
                // The last answer ends the pause.
                Phase::Paused(_) if self.outbox.has_in_flight(name) => None,
                Phase::NotJoined(due) | Phase::Paused(due) => Some(due),
                Phase::Live | Phase::Joining | Phase::FindingNewest(_) | Phase::CatchingUp(_) => {
                    None
                }
            });
        waiting.min()
    }

    /// Emits the frames that are due: joins, then sends in the order of their posts.
    pub fn advance(&mut self, now: Duration) {
        if self.connection.is_none() {
            return;
        }
        self.join_due(now);
        self.make_live(now);
        self.send_due(now);
    }

    fn join_due(&mut self, now: Duration) {
        for (channel, subscription) in &mut self.subscriptions {
            if matches!(subscription.phase, Phase::NotJoined(due) if due <= now) {
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

    /// Lets channels send that have waited long enough or have caught up.
    fn make_live(&mut self, now: Duration) {
        for (channel, subscription) in &mut self.subscriptions {
            let live = match subscription.phase {
                Phase::Paused(until) => until <= now && !self.outbox.has_in_flight(channel),
                Phase::CatchingUp(newest) => subscription.cursor >= Some(newest),
                Phase::NotJoined(_) | Phase::Joining | Phase::FindingNewest(_) | Phase::Live => {
                    false
                }
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
            let frame = post_frame(reference, &pending.post);
            if frame.len() > limits.frame_bytes {
                // The server would close every connection on which it arrives.
                too_large.push((reference, frame.len()));
                continue;
            }
            pending.first_sent.get_or_insert(now);
            self.frames.push_back(frame);
            room -= 1;
        }
        for (reference, bytes) in too_large {
            let text = format!(
                "The frame has {bytes} bytes; at most {} are allowed.",
                limits.frame_bytes
            );
            if let Some(post) = self.outbox.take_answered(reference) {
                self.refused(post, Refusal::own("message_too_large", text));
            }
        }
    }

    fn request_history(&mut self, channel: &ChannelName, before: Option<Id>, limit: usize) -> u64 {
        let reference = self.take_ref();
        let frame = Outgoing::History {
            reference,
            channel,
            before,
            limit,
        };
        self.frames.push_back(frame.encode());
        reference
    }

    fn take_ref(&mut self) -> u64 {
        let reference = self.next_ref;
        self.next_ref += 1;
        reference
    }

    fn refuse_unsent(&mut self, channel: &ChannelName) {
        for post in self.outbox.take_unsent(channel) {
            self.refused(post, not_joined());
        }
    }

    fn left(&mut self, channel: ChannelName, why: Leaving) {
        self.events.push_back(Event::Left { channel, why });
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

fn post_frame(reference: u64, post: &Post) -> String {
    let (channel, client_msg_id, text) = (&post.channel, &post.client_msg_id, &*post.text);
    let frame = match &post.action {
        PostAction::Send => Outgoing::Send {
            reference,
            channel,
            text,
            client_msg_id,
            reply_to: post.reply_to,
            file_id: post.file_id,
        },
        PostAction::Edit(id) => Outgoing::Edit {
            reference,
            channel,
            id: *id,
            text,
            client_msg_id,
        },
        PostAction::Delete(id) => Outgoing::Delete {
            reference,
            channel,
            id: *id,
            client_msg_id,
        },
        PostAction::React { id, emoji, on } => Outgoing::React {
            reference,
            channel,
            id: *id,
            emoji,
            on: *on,
            client_msg_id,
        },
    };
    frame.encode()
}
