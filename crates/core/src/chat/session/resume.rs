//! Resume: sends the missed messages in order, then goes live, without a gap.
//!
//! A loop over a cursor sends pages at the client's speed until the rest fits into half of the
//! outbox. In one step it then queues the rest and registers the session as live. Live frames are
//! not buffered in the meantime.
//!
//! What happened before the resume comes in its final state, once; what happens during it comes as it
//! would live.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;

use crate::chat::hub::{HubChannel, Subscription};
use crate::chat::log::entry::Entry;
use crate::chat::log::stopped::unreadable;
use crate::chat::read::MissedRange;
use crate::chat::service::Chat;
use crate::domain::{Code, Id, Problem};

/// The most events per page, and the number in the first one, whose size isn't known.
const PAGE: usize = 200;
const FIRST_PAGE: usize = 50;

/// A page is to have this size. So a client that reads slowly holds little memory.
const PAGE_BYTES: usize = 256 * 1024;

/// A resume of one subscription.
pub struct Resume {
    pub chat: Arc<Chat>,
    pub channel: Arc<HubChannel>,
    pub subscription: Arc<Subscription>,
    /// Shared by the resumes of a session: one of them at a time reads a page and queues it.
    pub turn: Arc<Mutex<()>>,
    /// The session was live and has fallen behind: it is in the channel's list.
    pub was_live: bool,
}

impl Resume {
    /// Sends every message above `after` and what changed in others, then registers the session as live.
    ///
    /// If the session has left, it returns `Ok` even after a failure: the session may have joined
    /// again, and an error would end that join.
    pub async fn run(&self, after: Id) -> Result<(), Problem> {
        match self.catch_up(after).await {
            Err(_) if !self.subscription.is_active() => Ok(()),
            done => done,
        }
    }

    async fn catch_up(&self, after: Id) -> Result<(), Problem> {
        let began = Instant::now();
        let absent_to = self.last_id();
        let mut range = MissedRange {
            known: after,
            after,
            up_to: absent_to.max(after),
        };
        let (mut count, mut limit) = (0, FIRST_PAGE);
        loop {
            if !self.is_wanted() {
                return Ok(());
            }
            if self.go_live(range.after, absent_to)? {
                metrics::counter!("lakechat_resumed_messages_total").increment(count);
                let seconds = began.elapsed().as_secs_f64();
                metrics::histogram!("lakechat_resume_seconds").record(seconds);
                return Ok(());
            }
            if range.after >= range.up_to {
                // The client has all of the range. What happened since is another one.
                range.known = range.after;
                range.up_to = self.last_id().max(range.after);
            }
            // Nothing is read before the client has received what was queued for it.
            let _turn = self.turn.lock().await;
            self.subscription.listener().outbox.drained().await;
            let page = self.send_page(range, limit.min(self.most_events())).await?;
            count += page.count as u64;
            range.after = page.cursor;
            limit = page.next_limit();
        }
    }

    fn last_id(&self) -> Id {
        self.chat.log.lock(self.channel.partition).last_id()
    }

    /// How many events a page may have, so that a page fills at most a quarter of the outbox.
    fn most_events(&self) -> usize {
        PAGE.min(self.chat.settings.outbox.frames / 4).max(1)
    }

    /// Reads a page and queues as much of it as there is room for. What isn't queued is read again.
    async fn send_page(&self, range: MissedRange, limit: usize) -> Result<Sent, Problem> {
        let (chat, channel) = (&*self.chat, &*self.channel);
        let listener = self.subscription.listener();
        let mut sent = Sent {
            cursor: range.after,
            count: 0,
            bytes: 0,
        };
        let reader = &listener.user;
        let mut page = chat.missed(channel, reader, range, limit).await?;
        for (id, event) in std::mem::take(&mut page.events) {
            if let Some(frame) = page.frame(&event, channel, reader) {
                let bytes = frame.size_bytes();
                let is_full = sent.bytes > 0 && sent.bytes + bytes > PAGE_BYTES;
                if is_full || !self.is_wanted() || !listener.outbox.has_room(1, bytes) {
                    return Ok(sent);
                }
                sent.count += 1;
                sent.bytes += bytes;
                listener.outbox.push(frame);
            }
            sent.cursor = id;
        }
        // With the cursor there the tail covers the rest, even if the channel's last message is old.
        sent.cursor = page.up_to;
        Ok(sent)
    }

    /// False if the session has left the channel or is closing.
    fn is_wanted(&self) -> bool {
        self.subscription.is_active() && self.subscription.listener().outbox.is_open()
    }

    /// Queues every frame above the cursor and registers the session as live, if the tail has all of
    /// them and they leave half of the outbox free. Otherwise does nothing and returns false.
    ///
    /// Nor if one of them is a change that happened while the client was absent, up to `absent_to`, as
    /// it may be merged with others; or one whose frame has to be made from the message.
    fn go_live(&self, cursor: Id, absent_to: Id) -> Result<bool, Problem> {
        let (chat, channel) = (&*self.chat, &*self.channel);
        let listener = self.subscription.listener();
        let mut refused = None;
        let last = || {
            if !channel.read(|r| r.is_member(&listener.user)) {
                refused = Some(membership_ended());
                return None;
            }
            let state = chat.log.lock(channel.partition);
            if let Some(reason) = state.stopped() {
                refused = Some(unreadable(reason.to_owned()));
                return None;
            }
            if state.tail.above() > cursor {
                return None;
            }
            let mut missed = state.tail.within(&channel.name, cursor, Id::MAX);
            let is_live = |e: &Entry| e.target().is_none() || e.id > absent_to && !e.lacks_frame();
            if missed.any(|e| !is_live(e)) {
                return None;
            }
            let behind = state.tail.within(&channel.name, cursor, Id::MAX);
            let behind = behind.filter_map(|e| e.frame.as_ref());
            // Both locks are held, so no more frames are copied than the outbox can hold.
            let frames: Vec<_> = behind.take(chat.settings.outbox.frames).cloned().collect();
            let bytes = frames.iter().map(|frame| frame.size_bytes()).sum();
            if !listener.outbox.has_room(frames.len(), bytes) {
                return None;
            }
            let last = state.last_id().max(cursor);
            let open = listener.outbox.push_all(frames.into_iter());
            open.then_some(last)
        };
        if self.was_live {
            let live = channel.go_live_again(&self.subscription, last);
            // The hub reports ended memberships to the sessions in its list: there is nothing to resume.
            return Ok(live || refused.is_some());
        }
        let live = channel.go_live(&self.subscription, last);
        match refused {
            Some(problem) => Err(problem),
            None => Ok(live),
        }
    }
}

/// What was queued of a page.
struct Sent {
    cursor: Id,
    count: usize,
    bytes: usize,
}

impl Sent {
    /// How many events of this size make a page.
    fn next_limit(&self) -> usize {
        if self.count == 0 {
            return FIRST_PAGE;
        }
        let average = self.bytes.div_ceil(self.count).max(1);
        (PAGE_BYTES / average).max(1)
    }
}

/// The problem for a join whose membership ended before the session was live.
pub fn membership_ended() -> Problem {
    Problem::new(Code::NotAMember, "The membership ended in the meantime.")
}
