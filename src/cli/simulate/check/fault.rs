//! What a run finds wrong with messages.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::super::message::{Script, Sent};
use lakechat_core::domain::Id;

/// Faults that are kept with their details; the others are counted.
const KEPT: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A person in the channel did not get a message that was acked, or that others got.
    Lost,
    /// A person got a message after one with a larger id.
    OutOfOrder,
    /// A person got a message twice, or it has two ids.
    Doubled,
    /// An id belongs to two messages.
    Mixed,
    /// The text is not the one that was sent.
    Altered,
    /// A message that nobody of this run sent.
    Foreign,
    Refused,
    /// No ack and no refusal at the end.
    Unanswered,
    /// A person was so far behind that the check no longer had what it needs.
    Unchecked,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Lost => "lost",
            FaultKind::OutOfOrder => "out of order",
            FaultKind::Doubled => "doubled",
            FaultKind::Mixed => "two messages under one id",
            FaultKind::Altered => "altered",
            FaultKind::Foreign => "foreign",
            FaultKind::Refused => "refused",
            FaultKind::Unanswered => "unanswered",
            FaultKind::Unchecked => "unchecked",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: FaultKind,
    pub channel: u32,
    /// None if it is not one of the run's messages.
    pub sent: Option<Sent>,
    pub id: Option<Id>,
    /// The person who saw it, or did not.
    pub person: u32,
    pub detail: String,
    pub found: Instant,
}

impl Fault {
    /// The fault with the names of the run.
    pub fn describe(&self, script: &Script) -> String {
        let message = match self.sent {
            Some(sent) => format!(
                "message {} of {}",
                script.client_msg_id(sent).as_str(),
                script.user(sent.sender)
            ),
            None => "a message".to_owned(),
        };
        let id = self.id.map_or("unknown".to_owned(), |id| id.to_string());
        let channel = script.channel(self.channel);
        let person = script.user(self.person);
        let (kind, detail) = (self.kind, &self.detail);
        format!("{kind}: {message} in {channel}, id {id}: {person} {detail}")
    }
}

/// The faults of a channel.
#[derive(Debug, Default)]
pub struct Faults {
    kept: Vec<Fault>,
    counts: BTreeMap<FaultKind, u64>,
}

impl Faults {
    pub fn push(&mut self, fault: Fault) {
        *self.counts.entry(fault.kind).or_default() += 1;
        if self.kept.len() < KEPT {
            self.kept.push(fault);
        }
    }

    /// What looked lost arrived late.
    pub fn arrived(&mut self, person: u32, id: Id, detail: &str) {
        for (kind, change) in [(FaultKind::Lost, -1), (FaultKind::OutOfOrder, 1)] {
            let count = self.counts.entry(kind).or_default();
            *count = count.saturating_add_signed(change);
        }
        self.counts.retain(|_, count| *count > 0);
        let lost = self.kept.iter_mut().find(|fault| {
            fault.kind == FaultKind::Lost && fault.person == person && fault.id == Some(id)
        });
        if let Some(fault) = lost {
            fault.kind = FaultKind::OutOfOrder;
            fault.detail = detail.to_owned();
        }
    }

    pub fn counts(&self) -> &BTreeMap<FaultKind, u64> {
        &self.counts
    }

    /// In the order in which they were found.
    pub fn kept(&self) -> &[Fault] {
        &self.kept
    }
}
