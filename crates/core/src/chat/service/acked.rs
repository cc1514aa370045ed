//! Sends and changes of callers that wait for the ack: HTTP requests.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::changing::MessageChange;
use super::sending::{Admission, References, unique};
use super::{Chat, Send};
use crate::chat::hub::HubChannel;
use crate::chat::log::pending::{self, PERSIST_DEADLINE_MS, Sent, Waiter};
use crate::chat::wire::AckLevel;
use crate::domain::{ClientMsgId, FileId, Id, Partition, Problem, UserName};

/// A message, as a caller wants it sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub text: String,
    /// Without it, a retry is another message.
    pub client_msg_id: Option<ClientMsgId>,
    pub reply_to: Option<Id>,
    pub file: Option<FileId>,
    pub level: AckLevel,
}

type Outcome = oneshot::Receiver<Result<Sent, Problem>>;

impl Chat {
    /// Sends a message and waits for its ack. After dropping the future, it may still be sent.
    pub async fn send_acked(
        &self,
        channel: &HubChannel,
        user: &UserName,
        message: NewMessage,
    ) -> Result<Sent, Problem> {
        let (level, file) = (message.level, message.file);
        let send = Send {
            text: message.text,
            client_msg_id: message.client_msg_id.unwrap_or_else(unique),
            reply_to: message.reply_to,
            file: None,
            level,
        };
        // Before a file is shared.
        self.check_text(&send.text, file.is_some())?;
        let (waiter, outcome) = waiter();
        let waiter = self.answer_repeat(channel, user, &send, file, waiter)?;
        if let Some(waiter) = waiter {
            let references = self.references(channel, user, send.reply_to, file).await?;
            let References { file, admission } = references;
            let send = Send { file, ..send };
            self.send(channel, user, send, admission, waiter)?;
        }
        let sent = outcome_of(outcome).await?;
        if level == AckLevel::Persisted {
            self.persisted(channel.partition, sent.id).await?;
        }
        Ok(sent)
    }

    async fn references(
        &self,
        channel: &HubChannel,
        user: &UserName,
        parent: Option<Id>,
        file: Option<FileId>,
    ) -> Result<References, Problem> {
        if parent.is_some() || file.is_some() {
            return self.check_references(channel, user, parent, file).await;
        }
        Ok(References {
            file: None,
            admission: Admission::Needed,
        })
    }

    /// Changes a message and waits for the ack, which has the id of the event. After dropping the
    /// future, the change may still happen.
    pub async fn change_acked(
        &self,
        channel: &HubChannel,
        user: &UserName,
        change: MessageChange,
    ) -> Result<Sent, Problem> {
        let (waiter, outcome) = waiter();
        self.change(channel, user, change, waiter).await?;
        outcome_of(outcome).await
    }

    /// Waits until history has a message.
    async fn persisted(&self, partition: Partition, id: Id) -> Result<(), Problem> {
        let mut mark = self.log.watch_mark(partition);
        let stored = mark.wait_for(|mark| mark.id >= id);
        let deadline = Duration::from_millis(PERSIST_DEADLINE_MS);
        match timeout(deadline, stored).await {
            // Not an error: the log, which is ours, owns the sender.
            Ok(_) => Ok(()),
            Err(_) => Err(pending::persist_timeout()),
        }
    }
}

fn waiter() -> (Waiter, Outcome) {
    let (sender, outcome) = oneshot::channel();
    (Waiter::Call(sender), outcome)
}

async fn outcome_of(outcome: Outcome) -> Result<Sent, Problem> {
    outcome
        .await
        .unwrap_or_else(|_| Err(pending::unknown_outcome()))
}
