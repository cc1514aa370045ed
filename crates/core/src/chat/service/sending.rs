//! Sends messages and channel events: window, rights, limits, then the log.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Chat, archived};
use crate::chat::hub::HubChannel;
use crate::chat::log::pending::{self, Sent, Waiter};
use crate::chat::log::record::{Body, Digest, Record};
use crate::chat::wire::AckLevel;
use crate::domain::{Attachment, ClientMsgId, Code, FileId, Id, Problem, UserName};
use crate::limits::RequestKind;
use crate::ports::problem::directory_unavailable;

/// A message from a session.
#[derive(Debug)]
pub struct Send {
    pub text: String,
    pub client_msg_id: ClientMsgId,
    pub reply_to: Option<Id>,
    pub file: Option<Attachment>,
    pub level: AckLevel,
}

/// Whether a message has to pass the limits, or has passed them.
#[derive(Clone, Debug)]
pub enum Admission {
    Needed,
    Granted,
    /// It is refused, unless it repeats a message that was accepted.
    HeldBack(Problem),
}

/// The references of a send, after the check.
#[derive(Debug)]
pub struct References {
    pub file: Option<Attachment>,
    pub admission: Admission,
}

impl Chat {
    /// Publishes a message. `waiter` gets the outcome, at once or later; after an `Err` it gets nothing.
    ///
    /// Doesn't wait. The log has the sends of one session to a channel in the order of these calls.
    pub fn send(
        &self,
        channel: &HubChannel,
        user: &UserName,
        send: Send,
        admission: Admission,
        waiter: Waiter,
    ) -> Result<(), Problem> {
        self.check_text(&send.text, send.file.is_some())?;
        let body = Body::Message {
            text: send.text,
            reply_to: send.reply_to,
            file: send.file,
        };
        let record = self.record(channel, user, send.client_msg_id, body);
        self.log.publish(&record, waiter, || match admission {
            Admission::Needed => self.admit(channel, user),
            // The rights may have changed meanwhile.
            Admission::Granted => may_send(channel, user),
            Admission::HeldBack(problem) => Err(problem),
        })
    }

    /// Checks the text of a message that has a file or hasn't.
    pub fn check_text(&self, text: &str, has_file: bool) -> Result<(), Problem> {
        let most = self.settings.limits.text_bytes;
        if text.len() > most {
            let text = format!("A message's text has at most {most} bytes.");
            let problem = Problem::new(Code::MessageTooLarge, text);
            return Err(problem.field("text").limit(most as u64));
        }
        if text.is_empty() && !has_file {
            let text = "A message has a text, a file or both.";
            return Err(Problem::new(Code::FieldInvalid, text).field("text"));
        }
        Ok(())
    }

    /// Answers a retry of a send from the window. If the window doesn't have the send, returns the
    /// waiter.
    ///
    /// For sends with references: a retry is answered even if they are no longer valid. `Err`: the
    /// id was used for another message, or the retry comes too late.
    pub fn answer_repeat(
        &self,
        channel: &HubChannel,
        user: &UserName,
        send: &Send,
        file: Option<FileId>,
        waiter: Waiter,
    ) -> Result<Option<Waiter>, Problem> {
        let digest = Digest::of_message(&send.text, send.reply_to, file);
        let (name, client_msg_id) = (&channel.name, &send.client_msg_id);
        self.log.answer(name, user, client_msg_id, digest, waiter)
    }

    /// Builds a record with this server's timestamp.
    pub(super) fn record(
        &self,
        channel: &HubChannel,
        sender: &UserName,
        client_msg_id: ClientMsgId,
        body: Body,
    ) -> Record {
        Record {
            channel: channel.name.clone(),
            private: channel.kind.is_private(),
            sender: sender.clone(),
            client_msg_id: Some(client_msg_id),
            digest: body.digest(),
            received_at_ms: self.log.broker().now_ms(),
            body,
        }
    }

    /// Publishes a channel event and waits until this server has folded it. After dropping the
    /// future, the event may still happen.
    pub(super) async fn publish(
        &self,
        channel: &HubChannel,
        sender: &UserName,
        body: Body,
    ) -> Result<Sent, Problem> {
        self.publish_event(channel, sender, body, || self.admit_events(sender, 1))
            .await
    }

    /// Like [`Chat::publish`], after [`Chat::admit_events`].
    pub(super) async fn publish_admitted(
        &self,
        channel: &HubChannel,
        sender: &UserName,
        body: Body,
    ) -> Result<Sent, Problem> {
        self.publish_event(channel, sender, body, || Ok(())).await
    }

    async fn publish_event(
        &self,
        channel: &HubChannel,
        sender: &UserName,
        body: Body,
        admit: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<Sent, Problem> {
        let record = self.record(channel, sender, unique(), body);
        let (sender, outcome) = oneshot::channel();
        self.log.publish(&record, Waiter::Call(sender), admit)?;
        outcome
            .await
            .unwrap_or_else(|_| Err(pending::unknown_outcome()))
    }

    /// Checks rights and limits of a message or of a change of one.
    pub(super) fn admit(&self, channel: &HubChannel, user: &UserName) -> Result<(), Problem> {
        // Rights come first, so that a send without them takes no token from a limit.
        may_send(channel, user)?;
        self.send_limits.admit_message(&channel.name, user)
    }

    /// Takes tokens from a user's bucket for channel events (joins, topics, archivals), all or none.
    /// Its rate is that of messages.
    pub(super) fn admit_events(&self, user: &UserName, count: u32) -> Result<(), Problem> {
        self.send_limits.admit_events(user, count)
    }

    /// Checks the references of a send: the parent message exists in this channel, and the sender
    /// may share the file.
    ///
    /// A file is shared here, before its message is published: a reader that sees the message may
    /// download its file. Therefore nothing that can be checked may refuse the send afterwards.
    pub async fn check_references(
        &self,
        channel: &HubChannel,
        user: &UserName,
        parent: Option<Id>,
        file: Option<FileId>,
    ) -> Result<References, Problem> {
        may_send(channel, user)?;
        let is_recent = |id| self.reads.message_in_tail(channel, id).is_some();
        let asks_for_parent = parent.is_some_and(|parent| !is_recent(parent));
        if asks_for_parent || file.is_some() {
            // Guesses at ids must not cost more than pages.
            self.admit_request(user, RequestKind::Call)?;
        }
        if let Some(parent) = parent.filter(|_| asks_for_parent)
            && !self.has_message(channel, parent).await?
        {
            let text = "reply_to must be the id of a message in this channel.";
            return Err(Problem::new(Code::ParentNotFound, text).field("reply_to"));
        }
        let Some(id) = file else {
            return Ok(References {
                file: None,
                admission: Admission::Needed,
            });
        };
        let file = self.attachment(user, id).await?;
        self.log.check_publish(channel.partition)?;
        self.admit(channel, user)?;
        self.directory
            .file_rows
            .mark_posted(id, &channel.name)
            .await
            .map_err(directory_unavailable)?;
        Ok(References {
            file: Some(file),
            admission: Admission::Granted,
        })
    }

    async fn has_message(&self, channel: &HubChannel, id: Id) -> Result<bool, Problem> {
        self.reads.barrier().pass(channel.partition).await?;
        Ok(self.reads.message(channel, id).await?.is_some())
    }

    /// The attachment for a file, if the sender may share it.
    async fn attachment(&self, user: &UserName, id: FileId) -> Result<Attachment, Problem> {
        let file = self
            .directory
            .file_rows
            .find(id)
            .await
            .map_err(directory_unavailable)?;
        let file = file.ok_or_else(attachment_invalid)?;
        if !self.may_read_file(user, &file).await? {
            return Err(attachment_invalid());
        }
        Ok(file.attachment())
    }
}

/// The id of a record that nobody retries.
pub(super) fn unique() -> ClientMsgId {
    let unique = Uuid::new_v4().hyphenated().to_string();
    ClientMsgId::parse(&unique).expect("a UUID is 36 printable characters")
}

pub(super) fn may_send(channel: &HubChannel, user: &UserName) -> Result<(), Problem> {
    let (is_member, is_archived) = channel.read(|r| (r.is_member(user), r.is_archived()));
    if !is_member {
        return Err(not_a_member());
    }
    if is_archived {
        return Err(archived());
    }
    Ok(())
}

/// The problem for a send without a joined session or a membership.
pub fn not_a_member() -> Problem {
    Problem::new(
        Code::NotAMember,
        "Join the channel in this session before you send to it.",
    )
}

fn attachment_invalid() -> Problem {
    let text = "file_id must be an upload of yours, or a file that you may download.";
    Problem::new(Code::AttachmentInvalid, text).field("file_id")
}
