//! Closes a session that gets too many refusals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::chat::wire::close::Close;
use crate::domain::Code;

const SPAN: Duration = Duration::from_secs(10);

/// This many malformed frames within [`SPAN`] close the session.
const MALFORMED: usize = 20;

/// This many refused frames within [`SPAN`], whatever the reason, close the session.
const REFUSED: usize = 1_000;

/// The refusals of a session within the last ten seconds, as a sliding window.
///
/// Memory grows with the refusals in the window, up to 16 KiB. A session without refusals allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Refusals {
    malformed: Recent,
    refused: Recent,
}

impl Refusals {
    /// Counts a refusal. Returns a reason to close if a limit is reached.
    pub fn count(&mut self, code: Code, now: Instant) -> Option<Close> {
        let malformed = [
            Code::BadFrame,
            Code::UnknownType,
            Code::FieldMissing,
            Code::FieldInvalid,
        ];
        if malformed.contains(&code) && self.malformed.add(now) >= MALFORMED {
            return Some(Close::ProtocolError);
        }
        let retry_after_ms = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
        (self.refused.add(now) >= REFUSED).then_some(Close::Flood { retry_after_ms })
    }
}

/// The times within the span. Reaching the limit closes the session, which bounds their number.
#[derive(Debug, Default)]
struct Recent(VecDeque<Instant>);

impl Recent {
    /// Adds a refusal and returns how many are in the span.
    fn add(&mut self, now: Instant) -> usize {
        while self.0.front().is_some_and(|&first| now - first >= SPAN) {
            self.0.pop_front();
        }
        if self.0.is_empty() {
            // Releases the memory of an earlier burst.
            self.0.shrink_to(0);
        }
        self.0.push_back(now);
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Counts refusals at offsets from one start time. Returns the result of the last one.
    fn count(code: Code, at: impl IntoIterator<Item = Duration>) -> Option<Close> {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        let mut at = at.into_iter().peekable();
        while let Some(after) = at.next() {
            let closes = refusals.count(code, began + after);
            if at.peek().is_none() {
                return closes;
            }
            assert_eq!(closes, None, "after {after:?}");
        }
        None
    }

    #[test]
    fn the_twentieth_malformed_frame_within_any_ten_seconds_closes() {
        for code in [
            Code::BadFrame,
            Code::UnknownType,
            Code::FieldMissing,
            Code::FieldInvalid,
        ] {
            let close = count(code, [Duration::ZERO; MALFORMED]);
            assert_eq!(close, Some(Close::ProtocolError));
        }
        // One frame at 0 s and 18 just before 10 s. A twentieth frame closes the session only while
        // the first one is still in the span. The next frame then closes it.
        let first = std::iter::once(Duration::ZERO).chain([SPAN - MS; MALFORMED - 2]);
        let within = first.clone().chain([SPAN - MS]);
        assert_eq!(count(Code::BadFrame, within), Some(Close::ProtocolError));
        let over = first.chain([SPAN]);
        assert_eq!(count(Code::BadFrame, over.clone()), None);
        let again = over.chain([SPAN + MS]);
        assert_eq!(count(Code::BadFrame, again), Some(Close::ProtocolError));
    }

    #[test]
    fn the_thousandth_refused_frame_within_any_ten_seconds_is_a_flood() {
        let half = REFUSED / 2;
        let late = std::iter::repeat_n(SPAN - MS, half);
        let later = std::iter::repeat_n(SPAN + MS, half);
        let flood = Some(Close::Flood {
            retry_after_ms: 10_000,
        });
        assert_eq!(count(Code::NotAMember, late.chain(later)), flood);
        // A steady rate just below the limit never closes the session.
        let pace = (0..5_000).map(|n| n * SPAN / (REFUSED as u32 - 1));
        assert_eq!(count(Code::RateLimited, pace), None);
    }

    #[test]
    fn memory_is_given_back_when_the_span_is_empty() {
        let (mut recent, began) = (Recent::default(), Instant::now());
        assert_eq!(recent.0.capacity(), 0);
        (1..REFUSED).for_each(|n| assert_eq!(recent.add(began), n));
        assert_eq!(recent.add(began + SPAN), 1);
        assert!(recent.0.capacity() < 10, "{}", recent.0.capacity());
    }
}
