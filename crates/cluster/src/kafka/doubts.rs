//! Answers of brokers that are believed only when they are repeated.
//!
//! A broker that starts, or that has missed an election, may say for a moment that a topic is unknown or
//! that an offset is out of range. Acting on one such answer would stop partitions for good.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::error::unavailable;
use super::metadata::DEADLINE;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// What an answer says about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The topic does not exist, or has too few partitions.
    TopicMissing,
    /// The partition does not hold an offset that is to be read.
    OffsetMissing(Partition, Offset),
    /// Fetches fail with this code, and the partition is not read beyond this offset, which the log holds.
    FetchFails(Partition, Offset, RDKafkaErrorCode),
    /// The partition ends below an offset that was its end.
    EndWentBack(Partition),
}

/// The claims that were made lately, and since when. All clients of a broker share them.
pub(super) struct Doubts {
    believe_after: Duration,
    open: Mutex<Vec<Doubt>>,
}

struct Doubt {
    claim: Claim,
    since: Instant,
    latest: Instant,
}

impl Doubts {
    /// A claim is believed after it was repeated for `believe_after`, with pauses of at most half of that and
    /// the time that an answer takes.
    pub fn new(believe_after: Duration) -> Doubts {
        Doubts {
            believe_after,
            open: Mutex::default(),
        }
    }

    /// Notes that a claim was made, and returns whether it is to be believed.
    pub fn note(&self, claim: Claim) -> bool {
        self.note_at(claim, Instant::now())
    }

    fn note_at(&self, claim: Claim, now: Instant) -> bool {
        let pause = self.believe_after / 2 + DEADLINE;
        let mut open = self.open.lock().expect("nothing panics under it");
        open.retain(|doubt| now.duration_since(doubt.latest) <= pause);
        if let Some(doubt) = open.iter_mut().find(|doubt| doubt.claim == claim) {
            doubt.latest = now;
            return now.duration_since(doubt.since) >= self.believe_after;
        }
        open.push(Doubt {
            claim,
            since: now,
            latest: now,
        });
        false
    }

    /// Forgets the claims that another answer contradicts.
    pub fn clear(&self, contradicted: impl Fn(Claim) -> bool) {
        let mut open = self.open.lock().expect("nothing panics under it");
        open.retain(|doubt| !contradicted(doubt.claim));
    }

    /// The error of a claim that is not believed yet.
    pub fn unconfirmed(&self, claim: &str) -> PortError {
        let seconds = self.believe_after.as_secs();
        unavailable(format!(
            "ignoring an error until a broker has repeated it for {seconds} s: {claim}"
        ))
    }

    /// How long a claim has to be repeated.
    pub fn believe_after(&self) -> Duration {
        self.believe_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: Claim = Claim::OffsetMissing(Partition(3), 57);

    /// What each claim leads to, if it is made at these seconds.
    fn believed(at: &[(Claim, u64)]) -> Vec<bool> {
        let doubts = Doubts::new(Duration::from_secs(30));
        let begin = Instant::now();
        at.iter()
            .map(|(claim, s)| doubts.note_at(*claim, begin + Duration::from_secs(*s)))
            .collect()
    }

    #[test]
    fn claim_is_believed_when_it_was_repeated_for_the_whole_time() {
        let claims = [0, 10, 20, 29, 30, 31].map(|s| (MISSING, s));
        assert_eq!(believed(&claims), [false, false, false, false, true, true]);
    }

    #[test]
    fn claim_that_pauses_begins_anew() {
        assert_eq!(
            believed(&[0, 15, 36, 50, 65].map(|s| (MISSING, s))),
            [false; 5]
        );
        assert_eq!(believed(&[0, 100].map(|s| (MISSING, s))), [false; 2]);
    }

    #[test]
    fn claims_do_not_support_each_other() {
        let other = Claim::OffsetMissing(Partition(3), 58);
        let claims = [(MISSING, 0), (other, 15), (MISSING, 15), (other, 30)];
        assert_eq!(believed(&claims), [false; 4]);
    }

    #[test]
    fn contradicted_claim_begins_anew() {
        let doubts = Doubts::new(Duration::from_secs(30));
        let begin = Instant::now();
        let note_after = |s| doubts.note_at(MISSING, begin + Duration::from_secs(s));
        assert!(!note_after(0) && !note_after(15) && note_after(30));
        doubts.clear(|claim| claim == MISSING);
        assert!(!note_after(31));
    }
}
