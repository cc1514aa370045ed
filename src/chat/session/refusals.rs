//! How much nonsense a session may send before it is closed.

use std::time::Duration;

use tokio::time::Instant;

use crate::chat::close::Close;
use crate::domain::Code;

const SPAN: Duration = Duration::from_secs(10);

/// Frames that break the protocol, within the span.
const MALFORMED: u32 = 20;

/// Frames refused for whatever reason, within the span.
const REFUSED: u32 = 1_000;

/// Counts a session's refused frames over spans of ten seconds.
#[derive(Debug)]
pub struct Refusals {
    began: Instant,
    malformed: u32,
    refused: u32,
}

impl Refusals {
    pub fn new() -> Refusals {
        Refusals {
            began: Instant::now(),
            malformed: 0,
            refused: 0,
        }
    }

    /// One more; why to close, if it was one too many.
    pub fn count(&mut self, code: Code) -> Option<Close> {
        let now = Instant::now();
        if now - self.began >= SPAN {
            *self = Refusals {
                began: now,
                malformed: 0,
                refused: 0,
            };
        }
        self.refused += 1;
        let malformed = [
            Code::BadFrame,
            Code::UnknownType,
            Code::FieldMissing,
            Code::FieldInvalid,
        ];
        if malformed.contains(&code) {
            self.malformed += 1;
        }
        if self.malformed >= MALFORMED {
            return Some(Close::ProtocolError);
        }
        let retry_after_ms = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
        (self.refused >= REFUSED).then_some(Close::Flood { retry_after_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_twentieth_malformed_frame_closes_and_a_new_span_forgets() {
        let mut refusals = Refusals::new();
        for _ in 1..MALFORMED {
            assert_eq!(refusals.count(Code::BadFrame), None);
        }
        tokio::time::advance(SPAN).await;
        for _ in 1..MALFORMED {
            assert_eq!(refusals.count(Code::FieldInvalid), None);
        }
        assert_eq!(
            refusals.count(Code::UnknownType),
            Some(Close::ProtocolError)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_thousandth_refused_frame_is_a_flood() {
        let mut refusals = Refusals::new();
        for _ in 1..REFUSED {
            assert_eq!(refusals.count(Code::RateLimited), None);
        }
        assert!(matches!(
            refusals.count(Code::NotAMember),
            Some(Close::Flood { .. })
        ));
    }
}
