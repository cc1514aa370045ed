//! Keeps the order of a session's sends over a temporary refusal.

use std::time::{Duration, Instant};

use crate::domain::{ClientMsgId, Problem};

/// After this much silence a client has no more sends under way.
const SILENCE: Duration = Duration::from_millis(250);

/// How long after its wait a refused message is expected again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether sends to a channel are held back because an earlier one was refused.
///
/// A client may have sent further messages before it sees that one was refused for the moment. If
/// they were accepted, they would overtake the one that it repeats. So they are refused too, until
/// the client repeats the first one: whatever it sent before comes before. A client that gives the
/// message up is held back until it was silent for a while, or for [`PATIENCE`] beyond the wait; and
/// one that sent nothing during the wait, not at all.
#[derive(Debug, Default)]
pub struct Hold(Option<Refused>);

#[derive(Debug)]
struct Refused {
    client_msg_id: ClientMsgId,
    problem: Problem,
    /// When the client may repeat the message.
    repeat_at: Instant,
    /// When another message passes, if none comes before.
    others_at: Instant,
}

impl Hold {
    /// Notes the refusal of a send, and returns what the client is told. Only a temporary one, which says
    /// when to try again, holds back others; and while one does, a further one changes nothing.
    ///
    /// The client has to wait for [`SILENCE`] at least: what it sent before it saw the refusal has to arrive
    /// while others are still held back.
    pub fn refused(
        &mut self,
        client_msg_id: &ClientMsgId,
        refusal: Problem,
        now: Instant,
    ) -> Problem {
        let Some(wait_ms) = refusal.retry_after_ms else {
            return refusal;
        };
        if self.0.is_some() {
            return refusal;
        }
        let wait_ms = wait_ms.max(SILENCE.as_millis() as u64);
        let refusal = refusal.retry_after_ms(wait_ms);
        let mut problem = refusal.clone();
        // Logged with the first refusal.
        problem.cause = None;
        let repeat_at = now + Duration::from_millis(wait_ms);
        self.0 = Some(Refused {
            client_msg_id: client_msg_id.clone(),
            problem,
            repeat_at,
            others_at: repeat_at,
        });
        refusal
    }

    /// The refusal of a send that is held back: the first one's, with the time after which it would
    /// pass.
    pub fn check(&mut self, client_msg_id: &ClientMsgId, now: Instant) -> Result<(), Problem> {
        let Some(first) = &mut self.0 else {
            return Ok(());
        };
        if first.client_msg_id == *client_msg_id || now >= first.others_at {
            self.0 = None;
            return Ok(());
        }
        let silent = now + SILENCE;
        let given_up = first.repeat_at + PATIENCE;
        first.others_at = silent.max(first.repeat_at).min(given_up);
        let left = first.others_at.saturating_duration_since(now).as_millis();
        let left_ms = u64::try_from(left).unwrap_or(u64::MAX).max(1);
        Err(first.problem.clone().retry_after_ms(left_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Code;

    fn id(text: &str) -> ClientMsgId {
        ClientMsgId::parse(text).expect("an id")
    }

    fn held(wait_ms: u64, now: Instant) -> Hold {
        let problem = Problem::new(Code::BrokerUnavailable, "Not now.");
        let problem = problem.retry_after_ms(wait_ms).cause("why");
        let mut hold = Hold::default();
        hold.refused(&id("first"), problem, now);
        hold
    }

    /// After how many milliseconds from the start a message passes, of several at these times.
    fn passes_at(wait_ms: u64, times_ms: impl IntoIterator<Item = u64>) -> Option<u64> {
        let start = Instant::now();
        let mut hold = held(wait_ms, start);
        let mut times = times_ms.into_iter();
        times.find(|ms| {
            let now = start + Duration::from_millis(*ms);
            hold.check(&id("another"), now).is_ok()
        })
    }

    #[test]
    fn later_sends_are_held_back_until_the_first_comes_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut hold = held(1_000, start);
        for (ms, left_ms) in [(1, 999), (900, 250), (1_100, 250), (1_200, 250)] {
            let problem = hold.check(&id("second"), at(ms)).expect_err("held back");
            assert_eq!(problem.code, Code::BrokerUnavailable);
            assert_eq!(problem.retry_after_ms, Some(left_ms));
            assert!(problem.cause.is_none());
            hold.refused(&id("second"), problem, at(ms));
        }
        assert!(hold.check(&id("first"), at(1_300)).is_ok());
        assert!(hold.check(&id("second"), at(1_301)).is_ok());
    }

    #[test]
    fn who_waits_as_told_may_send_another_message() {
        assert_eq!(passes_at(300, [300]), Some(300));
        assert_eq!(
            passes_at(300, [299, 548, 798]),
            Some(798),
            "silent for 250 ms"
        );
        assert_eq!(passes_at(1_000, [1, 2, 1_000]), Some(1_000));
    }

    #[test]
    fn what_was_sent_before_the_refusal_was_seen_does_not_overtake() {
        let (mut hold, start) = (Hold::default(), Instant::now());
        let problem = Problem::new(Code::RateLimited, "Not now.").retry_after_ms(10);
        let told = hold.refused(&id("first"), problem, start);
        assert_eq!(told.retry_after_ms, Some(250));
        let sent_before = start + Duration::from_millis(249);
        assert!(hold.check(&id("second"), sent_before).is_err());
    }

    #[test]
    fn who_goes_on_without_the_first_is_held_back_for_a_while() {
        let every_10_ms = (1..).map(|n| n * 10);
        assert_eq!(passes_at(300, every_10_ms), Some(1_300));
    }

    #[test]
    fn a_refusal_for_good_holds_nothing_back() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        let problem = Problem::new(Code::MessageTooLarge, "Too large.");
        hold.refused(&id("first"), problem, now);
        assert!(hold.check(&id("second"), now).is_ok());
    }
}
