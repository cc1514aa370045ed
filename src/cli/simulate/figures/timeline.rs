//! Latencies over the time of a run.

use std::time::Duration;

use serde::Serialize;

use super::latency::{Latency, Quantiles};

/// Slots for the planned time of a run; some more follow while it settles.
const SLOTS: u32 = 500;

/// Slots at all.
const MOST_SLOTS: usize = 2 * SLOTS as usize;

/// Memory: at most [`MOST_SLOTS`] closed slots, and the histograms of the running one.
#[derive(Debug)]
pub struct Timeline {
    width: Duration,
    closed: Vec<Slot>,
    acks: Latency,
    deliveries: Latency,
}

/// A part of the run. A latency belongs to the slot in which the wait ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Slot {
    /// Seconds since the start of the run.
    pub at: f64,
    pub ack_ms: Quantiles,
    pub delivery_ms: Quantiles,
}

impl Timeline {
    pub fn new(duration: Duration) -> Timeline {
        Timeline {
            width: (duration / SLOTS).max(Duration::from_millis(500)),
            closed: Vec::new(),
            acks: Latency::new(),
            deliveries: Latency::new(),
        }
    }

    pub fn acked(&mut self, now: Duration, waited: Duration) {
        self.advance(now);
        self.acks.record(waited);
    }

    pub fn received(&mut self, now: Duration, waited: Duration) {
        self.advance(now);
        self.deliveries.record(waited);
    }

    /// All slots up to the running one.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots = self.closed.clone();
        slots.push(self.running());
        slots
    }

    fn advance(&mut self, now: Duration) {
        let slot = (now.as_nanos() / self.width.as_nanos()) as usize;
        while self.closed.len() < slot.min(MOST_SLOTS) {
            self.closed.push(self.running());
            self.acks.clear();
            self.deliveries.clear();
        }
    }

    fn running(&self) -> Slot {
        Slot {
            at: self.width.as_secs_f64() * self.closed.len() as f64,
            ack_ms: self.acks.quantiles(),
            delivery_ms: self.deliveries.quantiles(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_belong_to_the_slot_in_which_they_end() {
        let mut timeline = Timeline::new(Duration::from_secs(500));
        let second = Duration::from_secs;
        timeline.acked(second(1), second(1));
        timeline.acked(second(3), second(2));
        timeline.received(second(3), second(2));
        let counts: Vec<_> = timeline
            .slots()
            .iter()
            .map(|slot| (slot.at, slot.ack_ms.count, slot.delivery_ms.count))
            .collect();
        assert_eq!(counts, [(0.0, 0, 0), (1.0, 1, 0), (2.0, 0, 0), (3.0, 1, 1)]);
        timeline.acked(second(1_000_000), second(1));
        assert_eq!(timeline.slots().len(), MOST_SLOTS + 1);
    }
}
