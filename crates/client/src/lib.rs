//! The client's side of the wire: HTTP calls, and a chat session that outlives its connections.
//!
//! What a person's terminal, the black-box tests and load simulations hold on to. It knows the wire
//! and the nouns of `domain`, and nothing of the server behind them; what a newer server adds is
//! ignored.

mod api;
mod backoff;
mod conversation;
mod credentials;
mod event;
mod frame;
mod outbox;
mod session;
mod socket;
mod wire;

pub use api::{Api, CallError, Login, Uploaded};
pub use conversation::HistoryError;
pub use credentials::Credentials;
pub use event::{Event, Stop};
pub use frame::{Limits, Welcome};
pub use outbox::Post;
pub use session::{Clock, Events, Options, Session, SessionEnded};
pub use wire::{ChannelInfo, ChatMessage, Page, Refusal};
