//! Handles each frame of a session: checks it, starts the work for it, answers.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::hold::Hold;
use super::resume::{self, Resume};
use super::{Joined, Session};
use crate::accounts::Identity;
use crate::chat::hub::{HubChannel, Subscription};
use crate::chat::log::pending::Waiter;
use crate::chat::log::stopped::unreadable;
use crate::chat::service::{
    self, Admission, Chat, FRAME_PAGE_BYTES, MessageChange, PageQuery, References, Send,
    channel_not_found,
};
use crate::chat::wire::close::Close;
use crate::chat::wire::{
    self, About, AckLevel, ChangeRequest, ChannelsRequest, Frame, Incoming, Join, PageRequest, Ref,
    Request, SendRequest,
};
use crate::domain::{CauseChain, ChannelName, ClientMsgId, Code, Id, Problem, UserName, now_ms};
use crate::json_object::field_invalid;
use crate::limits::RequestKind;

/// Asynchronous work for one frame; the session polls it.
pub type Work = Pin<Box<dyn Future<Output = Done> + std::marker::Send>>;

/// The result of [`Work`].
pub enum Done {
    /// A join: the user is a member, and the session may subscribe.
    Admitted(Ref, Option<Id>, Result<Arc<HubChannel>, Problem>),
    Resumed(Ref, ChannelName, Result<(), Problem>),
    /// The resume of a session that had fallen behind.
    CaughtUp(Result<(), Problem>),
    /// A send: its parent message exists, and the sender may share its file.
    Checked(Ref, Send, Arc<HubChannel>, Result<References, Problem>),
    /// A change of a message: it is published, or refused.
    Changed(Ref, Result<(), Problem>),
    Refreshed(Ref, Result<Identity, Problem>),
    /// A page of history or of channels: the answer is in the outbox already, a problem is still to be sent.
    Answered(Ref, Result<(), Problem>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn receive(&mut self, text: &str) {
        metrics::counter!("lakechat_frames_received_total").increment(1);
        let incoming = Incoming::parse(text);
        let reference = incoming.r#ref;
        let handled = incoming
            .request
            .and_then(|request| self.handle(reference, request));
        if let Err(problem) = handled {
            self.refuse(reference, &problem, About::default());
        }
    }

    pub(super) fn refuse_binary(&mut self) {
        let text = "Frames are text; this one is binary.";
        self.refuse(None, &Problem::new(Code::BadFrame, text), About::default());
    }

    fn refuse(&mut self, reference: Ref, problem: &Problem, about: About<'_>) {
        if let Some(cause) = problem.source() {
            let (cause, code) = (CauseChain(cause), problem.code.as_str());
            let (session, user) = (self.listener.id, &self.listener.user);
            // A client can cause any number of its own mistakes.
            if problem.code.is_failure() {
                tracing::warn!(%session, %user, code, %cause, "refused a frame");
            } else {
                tracing::debug!(%session, %user, code, %cause, "refused a frame");
            }
        }
        self.listener.outbox.refuse(reference, problem, about);
    }

    fn handle(&mut self, reference: Ref, request: Request<'_>) -> Result<(), Problem> {
        match request {
            Request::Hello { .. } => {
                let text = "hello is sent once, and only if the upgrade had no token.";
                Err(Problem::new(Code::BadFrame, text).field("type"))
            }
            Request::Refresh { token } => self.refresh(reference, token.into_owned()),
            Request::Join(join) => self.join(reference, &join),
            Request::Leave { channel } => {
                // The answer repeats the name, which could otherwise be as large as a frame.
                let name = ChannelName::parse(&channel).map_err(|_| channel_not_found())?;
                self.leave(name.as_str());
                let left = wire::left(reference, name.as_str());
                self.listener.outbox.push(left);
                Ok(())
            }
            Request::Send(send) => self.send(reference, send),
            Request::Change(change) => self.change(reference, change),
            Request::History(page) => self.history(reference, &page),
            Request::Channels(page) => self.channels(reference, &page),
        }
    }

    /// The channel if this session has joined it and the membership hasn't ended since.
    fn joined(&self, channel: &str) -> Option<&Joined> {
        self.joined
            .get(channel)
            .filter(|joined| joined.subscription.is_active())
    }

    fn join(&mut self, reference: Ref, join: &Join<'_>) -> Result<(), Problem> {
        if let Some(joined) = self.joined(&join.channel) {
            let channel = &joined.channel;
            let at = self.chat.log.lock(channel.partition).last_id();
            let members = channel.read(|r| r.count());
            let frame = wire::joined(reference, &channel.name, at, members, false);
            self.listener.outbox.push(frame);
            return Ok(());
        }
        let user = &self.listener.user;
        self.chat.admit_request(user, RequestKind::Join)?;
        // The client has got `left` for ended memberships. They don't count towards the limit.
        self.joined.retain(|_, j| j.subscription.is_active());
        let most = self.chat.settings.limits.channels;
        if self.joined.len() >= most {
            let text = format!("A session has at most {most} channels joined; leave one first.");
            return Err(Problem::new(Code::TooManyChannels, text).limit(most as u64));
        }
        let (chat, user) = (self.chat.clone(), self.listener.user.clone());
        let (name, after) = (join.channel.clone().into_owned(), join.after);
        self.first = Some(Box::pin(async move {
            Done::Admitted(reference, after, admit(&chat, &user, &name, after).await)
        }));
        Ok(())
    }

    fn leave(&mut self, channel: &str) {
        if let Some(joined) = self.joined.remove(channel) {
            joined.subscription.cancel();
            joined.channel.unsubscribe(&self.listener);
        }
    }

    fn send(&mut self, reference: Ref, request: SendRequest<'_>) -> Result<(), Problem> {
        let joined = self.joined(&request.channel);
        let channel = joined
            .map(|j| j.channel.clone())
            .ok_or_else(|| not_joined(&request.channel))?;
        let client_msg_id = request.client_msg_id.clone();
        let sent = self.send_to(&channel, reference, request);
        sent.map_err(|problem| self.hold_back(&channel.name, &client_msg_id, problem))
    }

    /// Holds back the later sends to the channel if this refusal is temporary. Returns what the client is
    /// told.
    fn hold_back(
        &mut self,
        channel: &ChannelName,
        refused: &ClientMsgId,
        problem: Problem,
    ) -> Problem {
        match self.joined.get_mut(channel.as_str()) {
            Some(joined) => joined.hold.refused(refused, problem, Instant::now()),
            None => problem,
        }
    }

    /// Whether a send has to pass the limits, or an earlier one holds it back.
    fn admission(&mut self, channel: &ChannelName, client_msg_id: &ClientMsgId) -> Admission {
        let hold = self.joined.get_mut(channel.as_str()).map(|j| &mut j.hold);
        let checked = hold.map_or(Ok(()), |hold| hold.check(client_msg_id, Instant::now()));
        checked.map_or_else(Admission::HeldBack, |()| Admission::Needed)
    }

    fn send_to(
        &mut self,
        channel: &Arc<HubChannel>,
        reference: Ref,
        request: SendRequest<'_>,
    ) -> Result<(), Problem> {
        let admission = self.admission(&channel.name, &request.client_msg_id);
        let send = Send {
            text: request.text.into_owned(),
            client_msg_id: request.client_msg_id,
            reply_to: request.reply_to,
            file: None,
            level: request.level,
        };
        let (parent, file_id) = (request.reply_to, request.file_id);
        // Without references the send needs no back end and is published at once.
        if parent.is_none() && file_id.is_none() {
            return self.publish(channel, reference, send, admission);
        }
        // Before the file is shared.
        self.chat.check_text(&send.text, file_id.is_some())?;
        let user = &self.listener.user;
        let waiter = self.waiter(reference, send.level);
        let waiter = self
            .chat
            .answer_repeat(channel, user, &send, file_id, waiter)?;
        if waiter.is_none() {
            return Ok(());
        }
        if let Admission::HeldBack(problem) = admission {
            return Err(problem);
        }
        let (chat, user, channel) = (self.chat.clone(), user.clone(), channel.clone());
        self.first = Some(Box::pin(async move {
            let checked = chat
                .check_references(&channel, &user, parent, file_id)
                .await;
            Done::Checked(reference, send, channel, checked)
        }));
        Ok(())
    }

    fn publish(
        &self,
        channel: &HubChannel,
        reference: Ref,
        send: Send,
        admission: Admission,
    ) -> Result<(), Problem> {
        let waiter = self.waiter(reference, send.level);
        let user = &self.listener.user;
        self.chat.send(channel, user, send, admission, waiter)
    }

    /// The session, as what waits for the ack of a send.
    fn waiter(&self, reference: Ref, level: AckLevel) -> Waiter {
        Waiter::Frame {
            outbox: self.listener.outbox.clone(),
            reference,
            level,
            since: Instant::now(),
        }
    }

    fn change(&mut self, reference: Ref, request: ChangeRequest<'_>) -> Result<(), Problem> {
        let joined = self.joined(&request.channel);
        let channel = joined
            .map(|j| j.channel.clone())
            .ok_or_else(|| not_joined(&request.channel))?;
        let change = MessageChange {
            target: request.id,
            client_msg_id: request.client_msg_id,
            kind: request.kind,
        };
        let waiter = Waiter::Change {
            outbox: self.listener.outbox.clone(),
            reference,
            target: change.target,
        };
        let (chat, user) = (self.chat.clone(), self.listener.user.clone());
        self.first = Some(Box::pin(async move {
            let published = chat.change(&channel, &user, change, waiter).await;
            Done::Changed(reference, published)
        }));
        Ok(())
    }

    fn history(&mut self, reference: Ref, page: &PageRequest<'_>) -> Result<(), Problem> {
        let cursor = page.cursor.as_deref();
        let query = PageQuery::new(page.before, page.after, page.around, cursor, page.limit)?;
        let (chat, user) = (self.chat.clone(), self.listener.user.clone());
        let name = page.channel.clone().into_owned();
        self.answer_page(reference, async move {
            let channel = chat.find_for(&user, &name).await?;
            let mut page = chat
                .history(&channel, &user, query, FRAME_PAGE_BYTES)
                .await?;
            let next = page.next.as_deref();
            let frame = wire::history(reference, &channel.name, &page.messages, next);
            page.memory.shrink_to(frame.size_bytes());
            Ok(frame.holding(page.memory))
        })
    }

    fn channels(&mut self, reference: Ref, page: &ChannelsRequest<'_>) -> Result<(), Problem> {
        let limit = service::page_limit(page.limit, service::MAX_LIMIT)?;
        let after = page.after.as_deref().map(ChannelName::parse).transpose();
        let after = after.map_err(|_| field_invalid("after", "a name, as returned in next"))?;
        let (chat, user) = (self.chat.clone(), self.listener.user.clone());
        self.answer_page(reference, async move {
            let page = chat.channels_of(&user, after.as_ref(), limit).await?;
            Ok(wire::channels(
                reference,
                &page.channels,
                page.next.as_ref(),
                page.degraded,
            ))
        })
    }

    /// Answers with a page, which is read once the outbox has room for it.
    fn answer_page(
        &mut self,
        reference: Ref,
        page: impl Future<Output = Result<Frame, Problem>> + std::marker::Send + 'static,
    ) -> Result<(), Problem> {
        let user = &self.listener.user;
        self.chat.admit_request(user, RequestKind::Page)?;
        let (turn, listener) = (self.page_turn.clone(), self.listener.clone());
        self.pages += 1;
        self.beside.push(Box::pin(async move {
            let answered = async {
                // Read only when there is room: pages that pile up would close the session as slow.
                let _turn = turn.lock().await;
                listener.outbox.drained().await;
                listener.outbox.push(page.await?);
                Ok(())
            };
            Done::Answered(reference, answered.await)
        }));
        Ok(())
    }

    fn refresh(&mut self, reference: Ref, token: String) -> Result<(), Problem> {
        let user = &self.listener.user;
        self.chat.admit_request(user, RequestKind::Call)?;
        let accounts = self.accounts.clone();
        self.first = Some(Box::pin(async move {
            Done::Refreshed(reference, accounts.authenticate_fresh(&token).await)
        }));
        Ok(())
    }

    pub(super) fn finish(&mut self, done: Done) {
        // Counted down for an error too, or the session would stop reading.
        if let Done::Answered(..) = done {
            self.pages -= 1;
        }
        match done {
            Done::Admitted(reference, after, Ok(channel)) => {
                self.subscribe(reference, channel, after);
            }
            Done::Resumed(reference, channel, Err(problem)) => {
                // The client has got `joined`, so the problem has to name the channel.
                self.leave(channel.as_str());
                let about = About {
                    channel: Some(&channel),
                    ..About::default()
                };
                self.refuse(reference, &problem, about);
            }
            Done::CaughtUp(Err(problem)) => {
                // The client doesn't know of this resume. With the close it resumes by itself.
                let session = self.listener.id;
                tracing::debug!(%session, %problem, "a session could not catch up");
                self.listener.outbox.close_as_slow();
            }
            Done::Checked(reference, send, channel, Ok(References { file, admission })) => {
                let client_msg_id = send.client_msg_id.clone();
                let send = Send { file, ..send };
                let sent = self.publish(&channel, reference, send, admission);
                if let Err(problem) = sent {
                    let problem = self.hold_back(&channel.name, &client_msg_id, problem);
                    self.refuse(reference, &problem, About::default());
                }
            }
            Done::Checked(reference, send, channel, Err(problem)) => {
                let problem = self.hold_back(&channel.name, &send.client_msg_id, problem);
                self.refuse(reference, &problem, About::default());
            }
            Done::Refreshed(reference, Ok(identity)) => self.renew(reference, identity),
            Done::Admitted(reference, _, Err(problem))
            | Done::Changed(reference, Err(problem))
            | Done::Refreshed(reference, Err(problem))
            | Done::Answered(reference, Err(problem)) => {
                self.refuse(reference, &problem, About::default());
            }
            Done::Resumed(_, _, Ok(()))
            | Done::CaughtUp(Ok(()))
            | Done::Changed(_, Ok(()))
            | Done::Answered(_, Ok(())) => {}
        }
    }

    fn subscribe(&mut self, reference: Ref, channel: Arc<HubChannel>, after: Option<Id>) {
        let subscription = Subscription::new(self.listener.clone());
        let joined = Joined {
            channel: channel.clone(),
            subscription: subscription.clone(),
            hold: Hold::default(),
        };
        self.joined.insert(channel.name.clone(), joined);
        let members = channel.read(|r| r.count());
        let outbox = self.listener.outbox.clone();
        let Some(after) = after else {
            // Under the lock of the live list, so `joined` is queued before any live frame. A
            // membership that then ends is seen here, or `HubChannel::apply` finds the session
            // in the list.
            let mut problem = resume::membership_ended();
            let live = channel.go_live(&subscription, || {
                if !channel.read(|r| r.is_member(&self.listener.user)) {
                    return None;
                }
                let state = self.chat.log.lock(channel.partition);
                if let Some(reason) = state.stopped() {
                    problem = unreadable(reason.to_owned());
                    return None;
                }
                let at = state.last_id();
                outbox.push(wire::joined(reference, &channel.name, at, members, false));
                Some(at)
            });
            if !live {
                self.leave(channel.name.as_str());
                self.refuse(reference, &problem, About::default());
            }
            return;
        };
        let at = self.chat.log.lock(channel.partition).last_id();
        outbox.push(wire::joined(reference, &channel.name, at, members, true));
        let resume = self.resume(channel, subscription, false);
        self.beside.push(Box::pin(async move {
            let resumed = resume.run(after).await;
            Done::Resumed(reference, resume.channel.name.clone(), resumed)
        }));
    }

    /// Starts a resume for each subscription that has fallen behind. The client sees nothing of it.
    pub(super) fn catch_up(&mut self) {
        for joined in self.joined.values() {
            let Some(after) = joined.subscription.take_fall() else {
                continue;
            };
            let (channel, subscription) = (joined.channel.clone(), joined.subscription.clone());
            let resume = self.resume(channel, subscription, true);
            self.beside.push(Box::pin(
                async move { Done::CaughtUp(resume.run(after).await) },
            ));
        }
    }

    fn resume(
        &self,
        channel: Arc<HubChannel>,
        subscription: Arc<Subscription>,
        was_live: bool,
    ) -> Resume {
        Resume {
            chat: self.chat.clone(),
            channel,
            subscription,
            turn: self.resume_turn.clone(),
            was_live,
        }
    }

    fn renew(&mut self, reference: Ref, identity: Identity) {
        if identity.user != self.listener.user {
            let text = "The token belongs to another user; open a separate session for it.";
            let problem = Problem::new(Code::FieldInvalid, text).field("token");
            return self.refuse(reference, &problem, About::default());
        }
        let left_ms = identity.expires_at_ms.saturating_sub(now_ms());
        self.clock.renew(&identity);
        // The token may be of another login.
        self.access = self.accounts.hold(&identity, self.listener.outbox.clone());
        self.identity = identity;
        self.listener
            .outbox
            .push(wire::refreshed(reference, left_ms.div_ceil(1000)));
    }
}

/// The problem for a send to a channel that this session hasn't joined.
fn not_joined(channel: &str) -> Problem {
    match ChannelName::parse(channel) {
        Ok(_) => service::not_a_member(),
        Err(_) => channel_not_found(),
    }
}

/// Checks the cursor of a join, and makes the user a member if necessary.
async fn admit(
    chat: &Chat,
    user: &UserName,
    name: &str,
    after: Option<Id>,
) -> Result<Arc<HubChannel>, Problem> {
    let channel = chat.find_for(user, name).await?;
    let last = chat.log.lock(channel.partition).last_id();
    // Before the membership: a refused join must not leave one behind.
    if after.is_some_and(|after| after > last) {
        let text = "after lies above the last id of the log.";
        return Err(Problem::new(Code::CursorInvalid, text).field("after"));
    }
    chat.ensure_member(&channel, user).await?;
    Ok(channel)
}

impl<S> Session<S> {
    /// Leaves every channel, when the session ends.
    pub(super) fn leave_all(&mut self) {
        for joined in std::mem::take(&mut self.joined).into_values() {
            joined.subscription.cancel();
            joined.channel.unsubscribe(&self.listener);
        }
    }
}

impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        // Also runs when the session's task is dropped half-way, so no list keeps a dead session.
        // The closed outbox accepts no more frames.
        self.leave_all();
        self.listener.outbox.close(Close::InternalError);
        self.chat.hub.remove_session(&self.listener);
    }
}
