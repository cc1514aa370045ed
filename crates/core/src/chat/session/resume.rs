//! Resuming: what was missed, in order, then live, with no hole.
//!
//! A loop with a cursor that holds nothing back: pages go out at the client's pace until what is
//! left fits the session's queue; only then is it queued and the session registered, in one step.

use std::sync::Arc;

use crate::chat::hub::{HubChannel, Subscription};
use crate::chat::read::Found;
use crate::chat::service::Chat;
use crate::domain::{Code, Id, Problem};

/// Messages in a page of a resume.
const PAGE: usize = 200;

/// Sends everything behind a cursor, then goes live. A session that has left hears nothing more of
/// it, not of a failure either: it may have joined again meanwhile.
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
        let folded = chat.log.lock(channel.partition).last_id();
        let page = chat.missed(channel, cursor, PAGE).await?;
        count += page.len() as u64;
        for found in &page {
            if !push(channel, subscription, found).await {
                return Ok(());
            }
        }
        cursor = cursor.max(page.last().map_or(Id::ZERO, Found::id));
        if page.len() < PAGE {
            // The page has all there is of what was folded before it was read.
            cursor = cursor.max(folded);
            listener.outbox.drained().await;
        }
    }
}

/// False once it left, or ends: nobody waits for the rest.
fn is_wanted(subscription: &Subscription) -> bool {
    subscription.is_active() && subscription.listener().outbox.is_open()
}

/// Queues a message when there is room; false if nobody waits for it any more.
async fn push(channel: &HubChannel, subscription: &Subscription, found: &Found) -> bool {
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

/// Queues what is behind the cursor and registers the session, if the tail has all of it and it
/// leaves half of the queue free.
fn go_live(
    chat: &Chat,
    channel: &HubChannel,
    subscription: &Arc<Subscription>,
    cursor: Id,
) -> Result<bool, Problem> {
    let listener = subscription.listener();
    let mut member = true;
    let live = channel.go_live(subscription, || {
        member = channel.read(|r| r.is_member(&listener.user));
        if !member {
            return None;
        }
        let state = chat.log.lock(channel.partition);
        if state.tail.above() > cursor {
            return None;
        }
        let behind = state.tail.within(&channel.name, cursor, Id::MAX);
        let behind = behind.filter_map(|e| e.frame.as_ref());
        // Both locks are held: what can't fit is not looked through.
        let frames: Vec<_> = behind.take(chat.settings.outbox.frames).cloned().collect();
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        if !listener.outbox.has_room(frames.len(), bytes) {
            return None;
        }
        let last = state.last_id().max(cursor);
        let open = listener.outbox.push_all(frames.into_iter());
        open.then_some(last)
    });
    if !member {
        return Err(membership_ended());
    }
    Ok(live)
}

/// Somebody ended the membership while the session was joining.
pub fn membership_ended() -> Problem {
    Problem::new(Code::NotAMember, "The membership ended meanwhile.")
}
