//! The memory of live frames that wait in outboxes, of all sessions together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::chat::wire::Frame;

/// One session may fill this part of what is free. So a few slow readers get long queues, many get
/// short ones, and all of them together stay below the limit.
const PARTS: usize = 4;

/// What a session may always fill: otherwise one that reads fast would fall behind because of others.
const LEAST_BYTES: usize = 64 * 1024;

/// A limit for the live frames that wait. A frame counts once, however many sessions it waits for.
#[derive(Debug)]
pub(super) struct LiveMemory {
    used_bytes: AtomicUsize,
    limit_bytes: usize,
}

impl LiveMemory {
    pub(super) fn new(limit_bytes: usize) -> Arc<LiveMemory> {
        Arc::new(LiveMemory {
            used_bytes: AtomicUsize::new(0),
            limit_bytes,
        })
    }

    /// A frame that is counted until its last clone is gone.
    pub(super) fn hold(self: &Arc<LiveMemory>, frame: &Frame) -> Frame {
        let bytes = frame.size_bytes();
        self.used_bytes.fetch_add(bytes, Relaxed);
        let memory = self.clone();
        frame.clone().holding(HeldFrame { memory, bytes })
    }

    /// How many bytes may wait in one outbox at the moment.
    pub(super) fn room_bytes(&self) -> usize {
        let free = self.limit_bytes.saturating_sub(self.used_bytes());
        LEAST_BYTES.max(free / PARTS)
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }
}

struct HeldFrame {
    memory: Arc<LiveMemory>,
    bytes: usize,
}

impl Drop for HeldFrame {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_once_and_until_the_last_session_has_them() {
        let memory = LiveMemory::new(1 << 20);
        let frame = memory.hold(&Frame::from("x".repeat(1000)));
        let others = [frame.clone(), frame.clone()];
        assert_eq!(memory.used_bytes(), 1000);
        drop((frame, others));
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn sessions_that_fill_their_room_stay_below_the_limit_together() {
        let limit = 64 << 20;
        let memory = LiveMemory::new(limit);
        let frame = Frame::from("x".repeat(16 * 1024));
        let mut queues: Vec<Vec<Frame>> = vec![Vec::new(); 500];
        for _ in 0..400 {
            for queue in &mut queues {
                let bytes = queue.len() * frame.size_bytes();
                if bytes + frame.size_bytes() <= memory.room_bytes() {
                    queue.push(memory.hold(&frame));
                }
            }
        }
        assert!(memory.used_bytes() <= limit, "{}", memory.used_bytes());
        assert!(memory.used_bytes() > limit / 2, "{}", memory.used_bytes());
    }
}
