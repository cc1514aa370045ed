//! What the handle of a session asks of the task behind it.

use std::fmt;

use crate::conversation::Answer;
use crate::outbox::Pending;
use lakechat_core::domain::{ChannelName, Id};

pub(super) enum Command {
    Join(ChannelName, Option<Id>),
    Leave(ChannelName),
    Post(Pending),
    History {
        channel: ChannelName,
        before: Option<Id>,
        limit: usize,
        answer: Answer,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Join(..) => "Join",
            Command::Leave(_) => "Leave",
            Command::Post(_) => "Post",
            Command::History { .. } => "History",
        })
    }
}
