//! How much may be refused to a session before it is closed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::chat::wire::close::Close;
use crate::domain::Code;

const SPAN: Duration = Duration::from_secs(10);

/// Frames that break the protocol, within the span.
const MALFORMED: usize = 20;

/// Frames refused for whatever reason, within the span.
const REFUSED: usize = 1_000;

/// What was refused to a session in the last ten seconds, wherever these begin.
///
/// Takes memory for what the span holds, 16 KiB at the most; whoever was refused nothing needs none.
#[derive(Debug, Default)]
pub struct Refusals {
    malformed: Recent,
    refused: Recent,
}

impl Refusals {
    /// One more; why to close, if it was one too many.
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

/// The times within the span. As many as the limit close the session, so there are never more.
#[derive(Debug, Default)]
struct Recent(VecDeque<Instant>);

impl Recent {
    /// One more; how many there are.
    fn add(&mut self, now: Instant) -> usize {
        while self.0.front().is_some_and(|&first| now - first >= SPAN) {
            self.0.pop_front();
        }
        if self.0.is_empty() {
            // What a worse time took is given back.
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

    /// Counts refusals at times after a first moment; the last one's outcome.
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
        // One goes first, and 18 just before its ten seconds are over: a twentieth closes only
        // within them, but one more of those behind it does.
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
        // The same pace for ever is borne.
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
