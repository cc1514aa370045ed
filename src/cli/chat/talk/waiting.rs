//! What the server has not answered yet, and how long to wait for it.

use std::time::Duration;

use tokio::time::Instant;

use super::InputKind;
use lakechat_core::domain::ClientMsgId;

/// Timeout for the last answers after the end of the input, and after the last transfer.
const LAST_ANSWER: Duration = Duration::from_secs(30);

/// Timeout for the next answer while a script goes on. Until then the server recognises a line that is
/// sent again.
const NEXT_ANSWER: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Waiting {
    /// What was sent, as the user wrote it.
    unanswered: Vec<(ClientMsgId, String)>,
    /// When the last answer came, or when the wait for it began.
    progress_at: Instant,
    /// Since when only the last answers are missing.
    over_since: Option<Instant>,
}

impl Waiting {
    pub fn new(now: Instant) -> Waiting {
        Waiting {
            unanswered: Vec::new(),
            progress_at: now,
            over_since: None,
        }
    }

    pub fn sent(&mut self, id: ClientMsgId, what: String) {
        if self.unanswered.is_empty() {
            self.progress_at = Instant::now();
        }
        self.unanswered.push((id, what));
    }

    /// The answer to what was sent under this id; what it was.
    pub fn answered(&mut self, id: &ClientMsgId) -> Option<String> {
        self.progress_at = Instant::now();
        let at = self.unanswered.iter().position(|(sent, _)| sent == id)?;
        Some(self.unanswered.remove(at).1)
    }

    /// A join has begun or ended.
    pub fn progressed(&mut self) {
        self.progress_at = Instant::now();
    }

    /// An upload is followed by a message, whose answer may take its time, too.
    pub fn transfer_ended(&mut self) {
        self.progressed();
        if self.is_input_over() {
            self.over_since = Some(self.progress_at);
        }
    }

    pub fn end_input(&mut self) {
        self.over_since.get_or_insert_with(Instant::now);
    }

    pub fn is_input_over(&self) -> bool {
        self.over_since.is_some()
    }

    /// The input has ended, and everything is answered.
    pub fn is_over(&self) -> bool {
        self.is_input_over() && self.unanswered.is_empty()
    }

    pub fn unanswered(&self) -> impl ExactSizeIterator<Item = &String> {
        self.unanswered.iter().map(|(_, what)| what)
    }

    /// When to give up, provided that no transfer runs.
    pub fn deadline(&self, joining: bool, input: InputKind) -> Option<Instant> {
        if let Some(over_since) = self.over_since {
            return Some(over_since + LAST_ANSWER);
        }
        let is_waiting = joining || !self.unanswered.is_empty();
        (is_waiting && input != InputKind::Typed).then(|| self.progress_at + NEXT_ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PIPED: InputKind = InputKind::Piped { verbatim: false };

    fn id(text: &str) -> ClientMsgId {
        ClientMsgId::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_puts_off_the_end_once_the_input_is_over() {
        let mut waiting = Waiting::new(Instant::now());
        waiting.sent(id("1"), "one".to_owned());
        waiting.sent(id("2"), "two".to_owned());
        waiting.end_input();
        let deadline = waiting.deadline(false, PIPED);
        assert_eq!(deadline, Some(Instant::now() + LAST_ANSWER));
        advance(LAST_ANSWER / 2).await;
        waiting.answered(&id("1"));
        waiting.progressed();
        waiting.end_input();
        assert_eq!(waiting.deadline(false, PIPED), deadline);
        assert!(!waiting.is_over());
        waiting.transfer_ended();
        assert_eq!(
            waiting.deadline(false, PIPED),
            Some(Instant::now() + LAST_ANSWER)
        );
        assert_eq!(waiting.answered(&id("2")).as_deref(), Some("two"));
        assert!(waiting.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn script_waits_for_each_answer_and_a_person_for_ever() {
        let mut waiting = Waiting::new(Instant::now());
        assert_eq!(waiting.deadline(false, PIPED), None);
        assert!(waiting.deadline(true, PIPED).is_some());
        advance(NEXT_ANSWER * 2).await;
        waiting.sent(id("1"), "one".to_owned());
        let first = waiting.deadline(false, PIPED);
        assert_eq!(first, Some(Instant::now() + NEXT_ANSWER));
        advance(NEXT_ANSWER / 2).await;
        waiting.sent(id("2"), "two".to_owned());
        assert_eq!(waiting.deadline(false, PIPED), first);
        waiting.answered(&id("1"));
        assert_eq!(
            waiting.deadline(false, PIPED),
            Some(Instant::now() + NEXT_ANSWER)
        );
        assert_eq!(waiting.deadline(true, InputKind::Typed), None);
    }
}
