//! Pending sends: published, but not yet folded by this server.

use std::collections::HashMap;
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
    /// A caller within this server, for joins, topics and archivals.
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
                Waiter::Frame {
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
        let text = "The message is in the log, but was not in history within 30 s; sending it again \
                    is safe.";
        let problem = Problem::new(Code::PersistTimeout, text).limit(PERSIST_DEADLINE_MS);
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
    ticket: u64,
    /// ms since boot.
    since_ms: u64,
    waiter: Waiter,
}

/// The sends of one partition that wait for their records.
#[derive(Debug, Default)]
pub struct Pending {
    /// Two sends may be equal in every field of [`Own`]; they are answered in order.
    sends: HashMap<Own, Vec<Send>>,
}

impl Pending {
    pub fn add(&mut self, own: Own, ticket: u64, now_boot_ms: u64, waiter: Waiter) {
        let send = Send {
            ticket,
            since_ms: now_boot_ms,
            waiter,
        };
        self.sends.entry(own).or_default().push(send);
    }

    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    /// Removes the first send that matches a record, and returns its waiter.
    pub fn seen(&mut self, own: Own) -> Option<Waiter> {
        let sends = self.sends.get_mut(&own)?;
        let send = sends.remove(0);
        if sends.is_empty() {
            self.sends.remove(&own);
        }
        Some(send.waiter)
    }

    /// Removes the send with this ticket after its publish failed, and returns its waiter. Failures
    /// are rare, so this scans all sends.
    pub fn failed(&mut self, ticket: u64) -> Option<Waiter> {
        self.take_where(|send| send.ticket == ticket).pop()
    }

    /// Removes the sends that have waited since before a time (ms since boot), and returns their
    /// waiters.
    pub fn overdue(&mut self, before_ms: u64) -> Vec<Waiter> {
        self.take_where(|send| send.since_ms < before_ms)
    }

    fn take_where(&mut self, mut is: impl FnMut(&Send) -> bool) -> Vec<Waiter> {
        let mut taken = Vec::new();
        self.sends.retain(|_, sends| {
            taken.extend(
                sends
                    .extract_if(.., |send| is(send))
                    .map(|send| send.waiter),
            );
            !sends.is_empty()
        });
        taken
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
        Verdict::Deleted => Err(Problem::new(
            Code::MessageNotFound,
            "The message was deleted.",
        )),
        // A record that this server wrote is always readable, so this one is late.
        Verdict::Late | Verdict::Unreadable => {
            let text = "This server's clock is over 60 s from the log's; another server may do \
                        better.";
            Err(Problem::new(Code::ClockSkew, text).retry_after_ms(5_000))
        }
    }
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

pub fn unknown_outcome() -> Problem {
    let text = "The log did not confirm the message in time; sending it again with the same \
                client_msg_id is safe.";
    Problem::new(Code::BrokerUnavailable, text).retry_after_ms(1_000)
}
