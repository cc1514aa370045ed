//! The client's side of the protocol: HTTP calls, and a chat session that outlives its connections.
//!
//! The terminal client, the black-box tests and load generators use it. It shares names and ids
//! with the server (`lakechat_core::domain`) and nothing else, and it ignores what a newer server
//! adds to the protocol.
//!
//! Redirects are not followed, and a proxy comes from the environment (`proxy`).
//!
//! [`Api`] has the HTTP calls and [`Credentials`] the tokens of a login. [`Session`] is a chat
//! session and [`Event`] what it reports. Behind `Session`, a task (`session/driver`) owns the
//! connection (`socket`) and feeds its frames (`frame`) to a state machine without I/O
//! (`conversation`), which keeps unanswered posts in an `outbox`.

mod api;
mod backoff;
mod conversation;
mod credentials;
mod event;
mod frame;
mod outbox;
mod proxy;
mod session;
mod socket;
mod uploads;
mod wire;

pub use api::{Api, ApiError, CallError, Login, StoredFile, Uploaded};
pub use conversation::HistoryError;
pub use credentials::Credentials;
pub use event::{Event, Leaving, Stop};
pub use frame::{Limits, Welcome};
pub use outbox::{Post, PostAction};
pub use proxy::{ProxyUnsupported, is_loopback};
pub use session::{Clock, Events, Options, Session, SessionEnded};
pub use wire::{ChannelInfo, ChatChange, ChatChangeKind, ChatMessage, Page, Refusal};
