//! The frames of `/chat`. Incoming frames are parsed once, and outgoing frames are encoded once.
//!
//! Each frame is a text frame with one JSON object, which the server writes in compact form. Ids
//! are strings of 20 decimal digits. Times are integers, in ms since 1970.

pub mod close;
pub mod emoji;
pub mod events;
mod frame;
mod incoming;
mod message;
mod outgoing;

pub use frame::Frame;
pub use incoming::{
    AckLevel, ChangeRequest, ChannelsRequest, Incoming, Join, PageRequest, Ref, Request,
    SendRequest, parse_ack_level, parse_client_msg_id, parse_file_id,
};
pub use message::{MessageObject, live_frame, message_frame, object_in_frame};
pub use outgoing::*;
