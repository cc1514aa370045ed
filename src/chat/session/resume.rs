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

/// Sends everything behind a cursor, then goes live.
pub async fn resume(
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
        if !subscription.is_active() || !listener.outbox.is_open() {
            // It left, or ends: nobody waits for the rest.
            return Ok(());
        }
        if go_live(chat, channel, subscription, cursor)? {
            metrics::counter!("lakechat_resumed_messages_total").increment(count);
            metrics::histogram!("lakechat_resume_seconds").record(began.elapsed().as_secs_f64());
            return Ok(());
        }
        let folded = chat.log.lock(channel.partition).fold.last_id();
        let page = chat.missed(channel, cursor, PAGE).await?;
        count += page.len() as u64;
        for found in &page {
            push(channel, subscription, found).await;
        }
        cursor = cursor.max(page.last().map_or(Id::ZERO, Found::id));
        if page.len() < PAGE {
            // The page has all there is of what was folded before it was read.
            cursor = cursor.max(folded);
            listener.outbox.drained().await;
        }
    }
}

async fn push(channel: &HubChannel, subscription: &Subscription, found: &Found) {
    let listener = subscription.listener();
    let frame = found.frame(channel, &listener.user);
    if !listener.outbox.has_room(1, frame.len()) {
        listener.outbox.drained().await;
    }
    listener.outbox.push(frame);
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
        let entries = || {
            let behind = state.tail.within(&channel.name, cursor, Id::MAX);
            behind.filter_map(|e| e.frame.as_ref())
        };
        let bytes = entries().map(|frame| frame.len()).sum();
        if !listener.outbox.has_room(entries().count(), bytes) {
            return None;
        }
        let last = state.fold.last_id().max(cursor);
        let open = listener.outbox.push_all(entries().cloned());
        open.then_some(last)
    });
    if !member {
        return Err(Problem::new(
            Code::NotAMember,
            "The membership ended meanwhile.",
        ));
    }
    Ok(live)
}
