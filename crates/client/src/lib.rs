//! The client's side of the wire: HTTP calls, and a chat session that outlives its connections.
//!
//! What a person's terminal, the black-box tests and load simulations hold on to. It knows the wire
//! and the nouns of `domain`, and nothing of the server behind them; what a newer server adds is
//! ignored.

pub mod api;
pub mod backoff;
pub mod credentials;
pub mod frame;
pub mod session;

mod conversation;
mod outbox;
mod socket;

pub use api::{Api, CallError, Login, Page, Refusal, Uploaded};
pub use credentials::Credentials;
pub use frame::{ChannelInfo, ChatMessage};
pub use outbox::Post;
pub use session::{Event, Events, Options, Session, SessionEnded, Stop};
