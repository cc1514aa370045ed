//! A session's subscription to a channel: live, or behind the channel and catching up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use super::Listener;
use super::live_memory::LiveMemory;
use super::outbox::Queued;
use crate::chat::wire::Frame;
use crate::domain::Id;

/// One session's subscription to one channel.
#[derive(Debug)]
pub struct Subscription {
    listener: Arc<Listener>,
    /// False after the session left or the membership ended.
    active: AtomicBool,
    /// If the session has fallen behind and doesn't know it yet: one above the last id up to which
    /// everything is queued. Otherwise 0.
    lacks_from: AtomicU64,
}

impl Subscription {
    pub fn new(listener: Arc<Listener>) -> Arc<Subscription> {
        Arc::new(Subscription {
            listener,
            active: AtomicBool::new(true),
            lacks_from: AtomicU64::new(0),
        })
    }

    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// Ends the subscription. A resume that is under way stops.
    pub fn cancel(&self) {
        self.active.store(false, Relaxed);
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// If the session has fallen behind since the last call: the id after which it has to resume.
    pub fn take_fall(&self) -> Option<Id> {
        let lacks_from = self.lacks_from.swap(0, Relaxed);
        Id::from_u64(lacks_from.checked_sub(1)?)
    }
}

/// New messages of a channel, in order.
pub(super) struct LiveBatch {
    frames: Vec<(Id, Frame)>,
    bytes: usize,
    first: Id,
    /// How many bytes may wait in one outbox.
    room_bytes: usize,
}

impl LiveBatch {
    /// None if there are no messages. The frames count in `memory` while they wait.
    pub(super) fn new(frames: &[(Id, Frame)], memory: &Arc<LiveMemory>) -> Option<LiveBatch> {
        let (first, _) = frames.first()?;
        let room_bytes = memory.room_bytes();
        let held = frames.iter().map(|(id, frame)| (*id, memory.hold(frame)));
        Some(LiveBatch {
            frames: held.collect(),
            bytes: frames.iter().map(|(_, frame)| frame.size_bytes()).sum(),
            first: *first,
            room_bytes,
        })
    }
}

/// A subscription in the channel's list.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) subscription: Arc<Subscription>,
    state: LiveState,
}

#[derive(Clone, Copy, Debug)]
enum LiveState {
    /// It gets every frame with an id above this one.
    After(Id),
    /// Its outbox had no room for a batch. It gets no frames until its resume has caught up: the
    /// resume reads them from the log.
    Behind,
}

impl Live {
    pub(super) fn new(subscription: Arc<Subscription>, after: Id) -> Live {
        Live {
            subscription,
            state: LiveState::After(after),
        }
    }

    /// Ends the state `Behind`.
    pub(super) fn caught_up(&mut self, after: Id) {
        self.state = LiveState::After(after);
    }

    /// Queues a batch. Returns false if the session is closing. The caller wakes the waker.
    pub(super) fn deliver(&mut self, batch: &LiveBatch, wakers: &mut Vec<Waker>) -> bool {
        let LiveState::After(after) = self.state else {
            return true;
        };
        let outbox = &self.subscription.listener.outbox;
        let queued = if after < batch.first {
            let frames = batch.frames.iter().map(|(_, frame)| frame.clone());
            outbox.queue_live(batch.room_bytes, batch.frames.len(), batch.bytes, frames)
        } else {
            // The session went live within this batch: its resume has queued the frames up to
            // `after`.
            let newer = batch.frames.partition_point(|(id, _)| *id <= after);
            let newer = &batch.frames[newer..];
            let bytes = newer.iter().map(|(_, frame)| frame.size_bytes()).sum();
            let frames = newer.iter().map(|(_, frame)| frame.clone());
            outbox.queue_live(batch.room_bytes, newer.len(), bytes, frames)
        };
        match queued {
            Queued::Done(waker) => wakers.extend(waker),
            Queued::NoRoom => {
                // It has everything below the batch, or up to `after` if that lies within it.
                let lacks_from = batch.first.as_u64().max(after.as_u64() + 1);
                wakers.extend(self.fall_behind(lacks_from));
            }
            Queued::Closed => return false,
        }
        true
    }

    /// The session gets an event and what follows from the log.
    pub(super) fn miss(&mut self, event: Id, wakers: &mut Vec<Waker>) {
        if let LiveState::After(after) = self.state
            && after < event
        {
            wakers.extend(self.fall_behind(event.as_u64()));
        }
    }

    fn fall_behind(&mut self, lacks_from: u64) -> Option<Waker> {
        self.state = LiveState::Behind;
        let subscription = &self.subscription;
        // Before the outbox reports it: the session then looks for it.
        subscription.lacks_from.store(lacks_from, Relaxed);
        subscription.listener.outbox.fall_behind()
    }
}
