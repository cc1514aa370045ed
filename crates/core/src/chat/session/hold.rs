//! Keeps the order of a session's sends over a temporary refusal.

use std::time::{Duration, Instant};

use crate::domain::{ClientMsgId, Problem};

/// How long after its wait a refused message is expected again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether sends to a channel are held back because an earlier one was refused.
///
/// A client may have sent further messages before it sees that one was refused for the moment. If
/// they were accepted, they would overtake the one that it repeats. So they are refused too, until
/// the client repeats the first one: whatever it sent before comes before. A client that gives the
/// message up is held back for [`PATIENCE`] beyond the wait.
#[derive(Debug, Default)]
pub struct Hold(Option<Refused>);

#[derive(Debug)]
struct Refused {
    client_msg_id: ClientMsgId,
    problem: Problem,
    /// When the client may repeat the message.
    repeat_at: Instant,
}

impl Hold {
    /// Notes the refusal of a send. Only a temporary one, which says when to try again, holds back
    /// others; and while one does, a further one changes nothing.
    pub fn refused(&mut self, client_msg_id: &ClientMsgId, problem: &Problem, now: Instant) {
        let Some(wait_ms) = problem.retry_after_ms else {
            return;
        };
        if self.0.is_some() {
            return;
        }
        let mut problem = problem.clone();
        // Logged with the first refusal.
        problem.cause = None;
        self.0 = Some(Refused {
            client_msg_id: client_msg_id.clone(),
            problem,
            repeat_at: now + Duration::from_millis(wait_ms),
        });
    }

    /// The refusal of a send that is held back: the first one's, with what is left of its wait.
    pub fn check(&mut self, client_msg_id: &ClientMsgId, now: Instant) -> Result<(), Problem> {
        let Some(first) = &self.0 else {
            return Ok(());
        };
        if first.client_msg_id == *client_msg_id || now >= first.repeat_at + PATIENCE {
            self.0 = None;
            return Ok(());
        }
        let left = first.repeat_at.saturating_duration_since(now).as_millis();
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
        hold.refused(&id("first"), &problem, now);
        hold
    }

    #[test]
    fn later_sends_are_held_back_until_the_first_comes_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut hold = held(1_000, start);
        for (ms, left_ms) in [(1, 999), (999, 1), (1_500, 1)] {
            let problem = hold.check(&id("second"), at(ms)).expect_err("held back");
            assert_eq!(problem.code, Code::BrokerUnavailable);
            assert_eq!(problem.retry_after_ms, Some(left_ms));
            assert!(problem.cause.is_none());
            hold.refused(&id("second"), &problem, at(ms));
        }
        assert!(hold.check(&id("first"), at(1_600)).is_ok());
        assert!(hold.check(&id("second"), at(1_601)).is_ok());
    }

    #[test]
    fn a_message_that_is_given_up_holds_back_others_for_a_while() {
        let start = Instant::now();
        let mut hold = held(10, start);
        let given_up = start + Duration::from_millis(10) + PATIENCE;
        let just_before = given_up - Duration::from_millis(1);
        assert!(hold.check(&id("second"), just_before).is_err());
        assert!(hold.check(&id("second"), given_up).is_ok());
    }

    #[test]
    fn a_refusal_for_good_holds_nothing_back() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        let problem = Problem::new(Code::MessageTooLarge, "Too large.");
        hold.refused(&id("first"), &problem, now);
        assert!(hold.check(&id("second"), now).is_ok());
    }
}
