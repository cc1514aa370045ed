//! The messages of a run. Each one says who sent it, and its text can be computed again, so that nobody
//! has to keep texts in order to compare them.

use std::fmt::Write;
use std::time::Duration;

use lakechat_client::ChatMessage;
use lakechat_core::domain::{ChannelName, ClientMsgId, UserName};

/// A message of a run: the `seq`-th one of a sender in a channel. People and channels count from 1,
/// messages from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub channel: u32,
    pub sender: u32,
    pub seq: u32,
}

/// The names and texts of a run.
#[derive(Clone, Debug)]
pub struct Script {
    /// Beginning of the names of people and channels.
    prefix: String,
    /// Beginning of each `client_msg_id`; another one in each run.
    run: String,
    text_bytes: usize,
}

/// Why a message is not as its sender sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// Its `client_msg_id` is not one of this run, or not that of its sender and channel.
    Foreign(String),
    /// The text differs.
    Altered(Sent),
}

impl Script {
    pub fn new(prefix: String, run: u32, text_bytes: usize) -> Script {
        Script {
            prefix,
            run: format!("{run:08x}"),
            text_bytes,
        }
    }

    pub fn user(&self, person: u32) -> String {
        format!("{}-{person}", self.prefix)
    }

    pub fn channel(&self, channel: u32) -> ChannelName {
        ChannelName::parse(&format!("{}-c{channel}", self.prefix))
            .expect("the arguments allow only prefixes of names")
    }

    pub fn client_msg_id(&self, sent: Sent) -> ClientMsgId {
        let Sent {
            channel,
            sender,
            seq,
        } = sent;
        let id = format!("{}-{channel}-{sender}-{seq}", self.run);
        ClientMsgId::parse(&id).expect("at most 41 digits and hyphens")
    }

    /// The text of a message that was due at a time of the run. Short texts become longer than asked for:
    /// they begin with `client_msg_id` and time.
    pub fn text(&self, sent: Sent, due: Duration) -> String {
        let mut text = String::with_capacity(self.text_bytes);
        let id = self.client_msg_id(sent);
        write!(text, "{} {} ", id.as_str(), due.as_micros()).expect("a String takes all");
        let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        while text.len() < self.text_bytes {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            text.push(char::from(b'a' + ((state >> 56) % 26) as u8));
        }
        text
    }

    /// The message that arrived in a channel, and when it was due.
    pub fn read(
        &self,
        channel: u32,
        message: &ChatMessage,
    ) -> Result<(Sent, Duration), Unexpected> {
        let id = message.client_msg_id.as_ref().map_or("", |id| id.as_str());
        let sent = self.parse(id).filter(|sent| sent.channel == channel);
        let sent = sent.filter(|sent| self.is_user(&message.sender, sent.sender));
        let Some(sent) = sent else {
            let shown = format!("{id:?} by {}", message.sender);
            return Err(Unexpected::Foreign(shown));
        };
        let due = message.text.split(' ').nth(1).and_then(|t| t.parse().ok());
        let due = due.map(Duration::from_micros);
        let due = due.filter(|due| self.text(sent, *due) == message.text);
        Ok((sent, due.ok_or(Unexpected::Altered(sent))?))
    }

    /// The message that a person of this run sent under an id.
    pub fn own(&self, id: &ClientMsgId) -> Option<Sent> {
        self.parse(id.as_str())
    }

    fn parse(&self, id: &str) -> Option<Sent> {
        let mut numbers = id.strip_prefix(&self.run)?.strip_prefix('-')?.split('-');
        let mut next = || numbers.next()?.parse().ok();
        let sent = Sent {
            channel: next()?,
            sender: next()?,
            seq: next()?,
        };
        numbers.next().is_none().then_some(sent)
    }

    fn is_user(&self, user: &UserName, person: u32) -> bool {
        user.as_str() == self.user(person)
    }
}

#[cfg(test)]
mod tests {
    use lakechat_core::domain::Id;

    use super::*;

    const SENT: Sent = Sent {
        channel: 1,
        sender: 7,
        seq: 42,
    };

    fn message(script: &Script) -> ChatMessage {
        ChatMessage {
            id: Id::ZERO,
            sender: UserName::parse("sim-7").unwrap(),
            sent_at: 0,
            text: script.text(SENT, Duration::from_millis(3)),
            client_msg_id: Some(script.client_msg_id(SENT)),
            reply_to: None,
            file: None,
            edited_at: None,
            deleted_at: None,
            changed: None,
            reactions: Default::default(),
            my_reactions: Vec::new(),
        }
    }

    #[test]
    fn message_is_recognised_and_says_when_it_was_due() {
        let script = Script::new("sim".to_owned(), 9, 100);
        let mut message = message(&script);
        assert_eq!(message.text.len(), 100);
        assert_eq!(
            script.read(1, &message),
            Ok((SENT, Duration::from_millis(3)))
        );
        let foreign = |read| matches!(read, Err(Unexpected::Foreign(_)));
        assert!(foreign(script.read(2, &message)), "another channel");
        message.sender = UserName::parse("sim-8").unwrap();
        assert!(foreign(script.read(1, &message)), "another sender");
    }

    #[test]
    fn each_byte_of_a_text_counts() {
        let script = Script::new("sim".to_owned(), 9, 64);
        let message = message(&script);
        for at in 0..message.text.len() {
            let mut wrong = message.clone();
            wrong.text.replace_range(at..=at, "?");
            assert_eq!(script.read(1, &wrong), Err(Unexpected::Altered(SENT)));
        }
        let longer = ChatMessage {
            text: format!("{}a", message.text),
            ..message
        };
        assert_eq!(script.read(1, &longer), Err(Unexpected::Altered(SENT)));
    }
}
