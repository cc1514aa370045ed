//! What a session reports to its owner.

use std::time::Duration;

use lakechat_core::domain::{ChannelName, ClientMsgId, Id};

use super::frame::Welcome;
use super::wire::{ChatMessage, Refusal};

/// What happens in a session.
#[derive(Debug)]
pub enum Event {
    Connected(Box<Welcome>),
    /// Connected again. Joined channels are being resumed, each tells it by `Joined`.
    Reconnected(Box<Welcome>),
    /// A connection is gone, or couldn't be had.
    Disconnected {
        reason: String,
        retry_in: Duration,
    },
    Joined {
        channel: ChannelName,
        at: Id,
        members: u64,
        resumed: bool,
    },
    /// The channel is no longer joined: as asked, or because the server refused it.
    Left {
        channel: ChannelName,
        refusal: Option<Refusal>,
    },
    Message {
        channel: ChannelName,
        message: ChatMessage,
    },
    /// A post is stored. Each post is answered once, by this or by `Refused`.
    Acked {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        id: Id,
        /// It was known from an earlier try.
        duplicate: bool,
    },
    /// A post was not taken and will not be tried again.
    Refused {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        refusal: Refusal,
    },
    /// The last event, unless the session was closed by its owner.
    Stopped(Stop),
}

/// Why a session will not come back by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The login is over: log in again.
    #[error("the login is no longer good: {0}")]
    LoginEnded(String),
    /// Too many connections of this user.
    #[error("the server has too many connections of this user: {0}")]
    ConnectionLimit(String),
    /// The server doesn't want this user.
    #[error("the server turned this user away: {0}")]
    TurnedAway(String),
    /// The server took exception to what was sent; coming back would send it again.
    #[error("the server closed the session ({code}): {reason}")]
    Protocol { code: u16, reason: String },
}
