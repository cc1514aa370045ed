//! The events of a session.

use std::time::Duration;

use lakechat_core::domain::{ChannelName, ClientMsgId, Id};

use super::frame::Welcome;
use super::wire::{ChatChange, ChatMessage, Refusal};

#[derive(Debug)]
pub enum Event {
    Connected(Box<Welcome>),
    /// Connected again. `Joined` follows for each channel that is resumed.
    Reconnected(Box<Welcome>),
    /// The connection ended, or could not be opened.
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
    /// The channel is no longer joined. Posts in it that are not in flight have been refused.
    Left {
        channel: ChannelName,
        why: Leaving,
    },
    Message {
        channel: ChannelName,
        message: ChatMessage,
    },
    /// A message was changed, perhaps one that this session has not received.
    Changed {
        channel: ChannelName,
        change: ChatChange,
    },
    /// A post is stored. Each post is answered once, by `Acked` or by `Refused`.
    Acked {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        id: Id,
        /// An earlier attempt had stored it.
        duplicate: bool,
    },
    /// A post was refused and will not be retried.
    Refused {
        channel: ChannelName,
        client_msg_id: ClientMsgId,
        refusal: Refusal,
    },
    /// The server refused a join or a post for the moment. The session tries again.
    Deferred {
        channel: ChannelName,
        refusal: Refusal,
    },
    /// The session has ended and will not reconnect. The last event.
    Stopped(Stop),
}

/// Why a channel is no longer joined.
#[derive(Clone, Debug)]
pub enum Leaving {
    /// [`Session::leave`](crate::Session::leave) was called.
    Requested,
    /// The server refused the join.
    Refused(Refusal),
    /// The user's membership has ended. The session does not join the channel again by itself, because
    /// that would make the user a member again.
    MembershipEnded,
}

/// Why a session does not reconnect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The user has to log in again.
    #[error("the login is no longer valid: {0}")]
    LoginEnded(String),
    /// The server refused an access token that had just been renewed. The login itself is valid.
    #[error("the server does not accept its own access tokens: {0}")]
    TokenRejected(String),
    #[error("this user has too many connections: {0}")]
    ConnectionLimit(String),
    /// Removed or banned, or the account is gone.
    #[error("the server does not admit this user: {0}")]
    NotAdmitted(String),
    /// The server objected to a frame, which a reconnect would send again.
    #[error("the server closed the session ({code}): {reason}")]
    Protocol { code: u16, reason: String },
}
