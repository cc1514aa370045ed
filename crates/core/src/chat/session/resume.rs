//! Resume: sends the missed messages in order, then goes live, without a gap.
//!
//! A loop over a cursor sends pages at the client's speed until the rest fits into half of the
//! outbox. In one step it then queues the rest and registers the session as live. Live frames are
//! not buffered in the meantime.

use std::sync::Arc;

use crate::chat::hub::{HubChannel, Subscription};
use crate::chat::log::stopped::unreadable;
use crate::chat::read::ReadMessage;
use crate::chat::service::Chat;
use crate::domain::{Code, Id, Problem};

/// Messages per page of a resume.
const PAGE: usize = 200;

/// Sends every message above `after`, then registers the session as live.
///
/// If the session has left, it returns `Ok` even after a failure: the session may have joined
/// again, and an error would end that join.
pub async fn resume(
    chat: &Chat,
    channel: &HubChannel,
    subscription: &Arc<Subscription>,
    after: Id,
) -> Result<(), Problem> {
    match catch_up(chat, channel, subscription, after).await {
        Err(_) if !subscription.is_active() => Ok(()),
        done => done,
    }
}

async fn catch_up(
    chat: &Chat,
    channel: &HubChannel,
    subscription: &Arc<Subscription>,
    after: Id,
) -> Result<(), Problem> {
    let began = std::time::Instant::now();
    let mut cursor = after;
    let mut count = 0;
    loop {
        let listener = subscription.listener();
        if !is_wanted(subscription) {
            return Ok(());
        }
        if go_live(chat, channel, subscription, cursor)? {
            metrics::counter!("lakechat_resumed_messages_total").increment(count);
            metrics::histogram!("lakechat_resume_seconds").record(began.elapsed().as_secs_f64());
            return Ok(());
        }
        // Before the page is read, for the cursor below.
        let folded = chat.log.lock(channel.partition).last_id();
        let page = chat.missed(channel, cursor, PAGE).await?;
        count += page.len() as u64;
        for found in &page {
            if !push(channel, subscription, found).await {
                return Ok(());
            }
        }
        cursor = cursor.max(page.last().map_or(Id::ZERO, ReadMessage::id));
        if page.len() < PAGE {
            // A short page has every message up to `folded`. With the cursor there the tail covers
            // the rest, even if the channel's last message is old.
            cursor = cursor.max(folded);
            listener.outbox.drained().await;
        }
    }
}

/// False if the session has left the channel or is closing.
fn is_wanted(subscription: &Subscription) -> bool {
    subscription.is_active() && subscription.listener().outbox.is_open()
}

/// Queues a message once there is room. False if the session doesn't want it any more.
async fn push(channel: &HubChannel, subscription: &Subscription, found: &ReadMessage) -> bool {
    let listener = subscription.listener();
    let frame = found.frame(channel, &listener.user);
    if !listener.outbox.has_room(1, frame.len()) {
        listener.outbox.drained().await;
    }
    let wanted = is_wanted(subscription);
    if wanted {
        listener.outbox.push(frame);
    }
    wanted
}

/// Queues every message above the cursor and registers the session as live, if the tail has all of
/// them and they leave half of the outbox free. Otherwise does nothing and returns false.
fn go_live(
    chat: &Chat,
    channel: &HubChannel,
    subscription: &Arc<Subscription>,
    cursor: Id,
) -> Result<bool, Problem> {
    let listener = subscription.listener();
    let mut refused = None;
    let live = channel.go_live(subscription, || {
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
        let behind = state.tail.within(&channel.name, cursor, Id::MAX);
        let behind = behind.filter_map(|e| e.frame.as_ref());
        // Both locks are held, so no more frames are copied than the outbox can hold.
        let frames: Vec<_> = behind.take(chat.settings.outbox.frames).cloned().collect();
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        if !listener.outbox.has_room(frames.len(), bytes) {
            return None;
        }
        let last = state.last_id().max(cursor);
        let open = listener.outbox.push_all(frames.into_iter());
        open.then_some(last)
    });
    match refused {
        Some(problem) => Err(problem),
        None => Ok(live),
    }
}

/// The problem for a join whose membership ended before the session was live.
pub fn membership_ended() -> Problem {
    Problem::new(Code::NotAMember, "The membership ended in the meantime.")
}
