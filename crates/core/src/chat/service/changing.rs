//! Changes messages that were sent: window, rights, limits, then the log.

use std::time::Duration;

use super::Chat;
use super::sending::{may_send, unique};
use crate::chat::hub::HubChannel;
use crate::chat::log::pending::{self, Waiter};
use crate::chat::log::record::{Body, ReactionsBefore};
use crate::domain::{ChangeKind, ClientMsgId, Code, Id, Message, Problem, Role, UserName};
use crate::limits::RequestKind;

/// The most different emojis among the reactions to a message. Those who react at the same time may
/// exceed it.
const MAX_EMOJIS: usize = 50;

/// A change of a message, as a client asks for it.
#[derive(Clone, Debug)]
pub struct MessageChange {
    pub target: Id,
    /// Without it, a retry is a change of its own.
    pub client_msg_id: Option<ClientMsgId>,
    pub kind: ChangeKind,
}

impl Chat {
    /// Publishes a change of a message. `waiter` gets the outcome, at once or later; after an `Err` it
    /// gets nothing. After dropping the future, the change may still happen.
    ///
    /// `message_not_found`: the channel has no such message, or it was deleted.
    pub async fn change(
        &self,
        channel: &HubChannel,
        user: &UserName,
        change: MessageChange,
        waiter: Waiter,
    ) -> Result<(), Problem> {
        let MessageChange {
            target,
            client_msg_id,
            kind,
        } = change;
        let mut body = body(target, kind);
        // A retry is answered before anything is checked that may have changed since the first try.
        let waiter = match &client_msg_id {
            None => waiter,
            Some(id) => {
                let (name, digest) = (&channel.name, body.digest());
                match self.log.answer(name, user, id, digest, waiter)? {
                    Some(waiter) => waiter,
                    None => return Ok(()),
                }
            }
        };
        may_send(channel, user)?;
        // Before the message is read, so that what is read has everything up to here.
        let at = self.log.lock(channel.partition).last_id();
        let message = self.changeable(channel, user, target).await?;
        self.may_change(channel, user, &message, &body)?;
        if let Body::React { emoji, before, .. } = &mut body {
            *before = Some(reactions_before(at, &message, user, emoji));
        }
        let client_msg_id = client_msg_id.unwrap_or_else(unique);
        let record = self.record(channel, user, client_msg_id, body);
        // The rights may have changed meanwhile.
        let admit = || self.admit(channel, user);
        self.log.publish(&record, waiter, admit)
    }

    /// A message that exists and isn't deleted. If it is deleted after that, the log refuses the change.
    async fn changeable(
        &self,
        channel: &HubChannel,
        user: &UserName,
        id: Id,
    ) -> Result<Message, Problem> {
        let found = match self.reads.message_in_tail(channel, id) {
            Some(found) => Some(found),
            None => {
                // Guesses at old ids must not cost more than pages.
                self.admit_request(user, RequestKind::Call)?;
                self.reads.barrier().pass(channel.partition).await?;
                self.reads.message(channel, id).await?
            }
        };
        let message = found.ok_or_else(|| {
            let text = "There is no such message in this channel.";
            Problem::new(Code::MessageNotFound, text).field("id")
        })?;
        let message = message.state().into_owned();
        if message.deleted_at_ms.is_some() {
            return Err(pending::message_deleted());
        }
        Ok(message)
    }

    /// Whether a user may make a change. Nobody puts words into another's mouth; owners and admins
    /// delete whatever they find wrong, at any time.
    fn may_change(
        &self,
        channel: &HubChannel,
        user: &UserName,
        message: &Message,
        body: &Body,
    ) -> Result<(), Problem> {
        let role = channel.read(|roster| roster.role(user));
        let is_admin = matches!(role, Role::Owner | Role::Admin);
        let is_author = message.sender == *user;
        match body {
            Body::Edit { text, .. } => {
                self.check_text(text, message.file.is_some())?;
                if !is_author {
                    return Err(not_author("Only its sender can edit a message."));
                }
            }
            Body::Delete { .. } if !is_author && !is_admin => {
                let text =
                    "Only its sender, an owner or an admin of the channel can delete a message.";
                return Err(not_author(text));
            }
            Body::React { emoji, on, .. } => {
                return if *on {
                    check_reactions(message, emoji)
                } else {
                    Ok(())
                };
            }
            _ => {}
        }
        if is_admin {
            return Ok(());
        }
        self.check_edit_window(message.id)
    }

    fn check_edit_window(&self, message: Id) -> Result<(), Problem> {
        let window = self.settings.edit_window;
        let age_ms = self.log.broker().now_ms().saturating_sub(message.ms());
        if window.is_zero() || Duration::from_millis(age_ms) <= window {
            return Ok(());
        }
        let seconds = window.as_secs();
        let text = format!("A message can be changed for {seconds} s after it was sent.");
        Err(Problem::new(Code::EditWindowPassed, text).limit(seconds))
    }
}

fn not_author(text: &'static str) -> Problem {
    Problem::new(Code::NotAuthor, text)
}

fn body(target: Id, kind: ChangeKind) -> Body {
    match kind {
        ChangeKind::Edit { text } => Body::Edit { target, text },
        ChangeKind::Delete => Body::Delete { target },
        ChangeKind::React { emoji, on } => Body::React {
            target,
            emoji,
            on,
            before: None,
        },
    }
}

/// Every event about a reaction has the counts of all of them.
fn check_reactions(message: &Message, emoji: &str) -> Result<(), Problem> {
    let counts = message.reaction_counts();
    if counts.len() < MAX_EMOJIS || counts.contains_key(emoji) {
        return Ok(());
    }
    let text = format!("A message has at most {MAX_EMOJIS} different reactions.");
    let problem = Problem::new(Code::EmojiInvalid, text).field("emoji");
    Err(problem.limit(MAX_EMOJIS as u64))
}

fn reactions_before(at: Id, message: &Message, user: &UserName, emoji: &str) -> ReactionsBefore {
    ReactionsBefore {
        at,
        counts: message.reaction_counts(),
        had: message.reactions_of(user).any(|of| of == emoji),
    }
}
