//! Pending sends: published, but not yet folded by this server.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::fold::{Key, Verdict};
use super::record::Digest;
use crate::chat::hub::outbox::Outbox;
use crate::chat::wire::{self, About, AckLevel, Ref};
use crate::domain::{Code, Id, Problem};

/// How long a send may wait for its record or for a failure report. After that, its outcome is
/// unknown.
pub const DEADLINE_MS: u64 = 15_000;

/// How long an ack of level `persisted` may wait for history.
pub const PERSIST_DEADLINE_MS: u64 = 30_000;

/// The receiver of a send's outcome.
#[derive(Debug)]
pub enum Waiter {
    /// The session that sent the frame.
    Frame {
        outbox: Arc<Outbox>,
        reference: Ref,
        level: AckLevel,
        /// When the frame was read.
        since: Instant,
    },
    /// The session that asked for a change of a message.
    Change {
        outbox: Arc<Outbox>,
        reference: Ref,
        /// The message.
        target: Id,
    },
    /// A caller within this server: an HTTP request, a join.
    Call(oneshot::Sender<Result<Sent, Problem>>),
}

/// A send whose message is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: Id,
    pub duplicate: bool,
}

impl Waiter {
    /// Delivers the outcome. An ack of level `persisted` still has to wait for history, so it is
    /// returned instead.
    pub fn complete(self, outcome: Result<Sent, Problem>) -> Option<Persisting> {
        match (self, outcome) {
            (
                Waiter::Frame {
                    outbox,
                    reference,
                    level: AckLevel::Persisted,
                    ..
                },
                Ok(sent),
            ) => {
                return Some(Persisting {
                    outbox,
                    reference,
                    sent,
                    since_ms: 0,
                });
            }
            (
                Waiter::Frame {
                    outbox,
                    reference,
                    level,
                    since,
                },
                Ok(sent),
            ) => {
                let waited = since.elapsed().as_secs_f64();
                metrics::histogram!("lakechat_send_to_ack_seconds").record(waited);
                outbox.push(wire::ack(reference, sent.id, sent.duplicate, level));
            }
            (
                Waiter::Change {
                    outbox,
                    reference,
                    target,
                },
                Ok(sent),
            ) => {
                let ack = wire::change_ack(reference, target, sent.id, sent.duplicate);
                outbox.push(ack);
            }
            (
                Waiter::Frame {
                    outbox, reference, ..
                }
                | Waiter::Change {
                    outbox, reference, ..
                },
                Err(problem),
            ) => {
                outbox.refuse(reference, &problem, About::default());
            }
            // Fails if the caller no longer waits. Then nobody needs the outcome.
            (Waiter::Call(call), outcome) => drop(call.send(outcome)),
        }
        None
    }
}

/// An ack that waits until the message is in history.
#[derive(Debug)]
pub struct Persisting {
    outbox: Arc<Outbox>,
    reference: Ref,
    pub sent: Sent,
    /// When the wait began, ms since boot.
    pub since_ms: u64,
}

impl Persisting {
    pub fn since(self, boot_ms: u64) -> Persisting {
        Persisting {
            since_ms: boot_ms,
            ..self
        }
    }

    /// Sends the ack.
    pub fn done(self) {
        let Sent { id, duplicate } = self.sent;
        self.outbox.push(wire::ack(
            self.reference,
            id,
            duplicate,
            AckLevel::Persisted,
        ));
    }

    /// Reports that the message isn't in history yet. The message itself is not lost.
    pub fn give_up(self) {
        let problem = persist_timeout();
        let about = About {
            id: Some(self.sent.id),
            ..About::default()
        };
        self.outbox.refuse(self.reference, &problem, about);
    }
}

/// Identifies a record that this server published when the reader gets it from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Own {
    pub key: Key,
    pub digest: Digest,
    pub received_at_ms: u64,
}

#[derive(Debug)]
struct Send {
    own: Own,
    /// ms since boot.
    since_ms: u64,
    waiter: Waiter,
}

/// The sends of one partition that wait for their records.
#[derive(Debug, Default)]
pub struct Pending {
    /// By ticket. Tickets increase, so the first ones have waited longest.
    sends: BTreeMap<u64, Send>,
    /// Two sends may be equal in every field of [`Own`]; they are answered in order.
    tickets: HashMap<Own, Vec<u64>>,
}

impl Pending {
    pub fn add(&mut self, own: Own, ticket: u64, now_boot_ms: u64, waiter: Waiter) {
        let send = Send {
            own,
            since_ms: now_boot_ms,
            waiter,
        };
        self.sends.insert(ticket, send);
        self.tickets.entry(own).or_default().push(ticket);
    }

    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    /// Removes the first send that matches a record, and returns its waiter.
    pub fn seen(&mut self, own: Own) -> Option<Waiter> {
        let ticket = *self.tickets.get(&own)?.first()?;
        self.take(ticket)
    }

    /// Removes the send with this ticket after its publish failed, and returns its waiter.
    pub fn failed(&mut self, ticket: u64) -> Option<Waiter> {
        self.take(ticket)
    }

    /// Removes the sends that have waited since before a time (ms since boot), and returns their
    /// waiters.
    pub fn overdue(&mut self, before_ms: u64) -> Vec<Waiter> {
        let mut overdue = Vec::new();
        while let Some((ticket, send)) = self.sends.first_key_value()
            && send.since_ms < before_ms
        {
            overdue.extend(self.take(*ticket));
        }
        overdue
    }

    fn take(&mut self, ticket: u64) -> Option<Waiter> {
        let send = self.sends.remove(&ticket)?;
        let tickets = self.tickets.get_mut(&send.own);
        let tickets = tickets.expect("what is pending has its ticket");
        tickets.retain(|t| *t != ticket);
        if tickets.is_empty() {
            self.tickets.remove(&send.own);
        }
        Some(send.waiter)
    }
}

/// The outcome of a send whose record got this verdict and `id`.
pub fn outcome(id: Id, verdict: Verdict) -> Result<Sent, Problem> {
    match verdict {
        Verdict::Accepted => Ok(Sent {
            id,
            duplicate: false,
        }),
        Verdict::Repeat(id) => Ok(Sent {
            id,
            duplicate: true,
        }),
        Verdict::Conflict(_) => Err(conflict()),
        Verdict::Expired => Err(expired()),
        Verdict::Deleted => Err(message_deleted()),
        // A record that this server wrote is always readable, so this one is late.
        Verdict::Late | Verdict::Unreadable => {
            let text = "This server's clock differs from the log's by more than 60 s; reconnect to \
                        reach another server.";
            Err(Problem::new(Code::ClockSkew, text).retry_after_ms(5_000))
        }
    }
}

/// The problem of a change whose message was deleted, by what the log or a read says.
pub fn message_deleted() -> Problem {
    Problem::new(Code::MessageNotFound, "The message was deleted.")
}

pub fn conflict() -> Problem {
    let text = "Another message was sent under this client_msg_id within the last minutes; a new \
                message needs a new one.";
    Problem::new(Code::IdempotencyConflict, text).field("client_msg_id")
}

pub fn expired() -> Problem {
    let text = "This client_msg_id was first used too long ago to tell whether that send was \
                accepted: resume, look for it, then send it anew if it is missing.";
    Problem::new(Code::Expired, text).field("client_msg_id")
}

pub fn persist_timeout() -> Problem {
    let text = "The message is in the log, but was not in history within 30 s; sending it again is \
                safe.";
    Problem::new(Code::PersistTimeout, text).limit(PERSIST_DEADLINE_MS)
}

pub fn unknown_outcome() -> Problem {
    let text = "The log did not confirm the message in time; sending it again with the same \
                client_msg_id is safe.";
    Problem::new(Code::BrokerUnavailable, text).retry_after_ms(1_000)
}

#[cfg(test)]
mod tests {
    use super::super::fold::KeyHasher;
    use super::*;
    use crate::domain::{ChannelName, ClientMsgId, UserName};

    fn own(client_msg_id: &str) -> Own {
        let channel = ChannelName::parse("ops").expect("a name");
        let sender = UserName::parse("ann").expect("a name");
        let client_msg_id = ClientMsgId::parse(client_msg_id).expect("an id");
        Own {
            key: KeyHasher::default().key(&channel, &sender, &client_msg_id),
            digest: Digest(1),
            received_at_ms: 1_790_000_000_000,
        }
    }

    type Outcome = oneshot::Receiver<Result<Sent, Problem>>;

    fn add(pending: &mut Pending, own: Own, ticket: u64) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        pending.add(own, ticket, ticket * 1_000, Waiter::Call(sender));
        outcome
    }

    fn is_answered(outcome: &mut Outcome) -> bool {
        outcome.try_recv().is_ok()
    }

    #[test]
    fn equal_sends_are_answered_in_order_and_failures_by_ticket() {
        let (mut pending, twin, single) = (Pending::default(), own("twin"), own("single"));
        let mut outcomes: Vec<_> = (1..=3).map(|t| add(&mut pending, twin, t)).collect();
        let mut other = add(&mut pending, single, 4);
        let fail =
            |waiter: Option<Waiter>| drop(waiter.expect("it waits").complete(Err(expired())));
        fail(pending.failed(2));
        assert!(is_answered(&mut outcomes[1]) && pending.failed(2).is_none());
        fail(pending.seen(twin));
        assert!(is_answered(&mut outcomes[0]) && !is_answered(&mut outcomes[2]));
        let overdue = pending.overdue(4_000);
        assert_eq!(overdue.len(), 1);
        overdue.into_iter().for_each(|waiter| fail(Some(waiter)));
        assert!(is_answered(&mut outcomes[2]) && !is_answered(&mut other));
        fail(pending.seen(single));
        assert!(is_answered(&mut other) && pending.is_empty() && pending.tickets.is_empty());
    }
}
