//! The commands from the handle of a session to its task.

use std::fmt;

use crate::conversation::HistoryReply;
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
        answer: HistoryReply,
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
