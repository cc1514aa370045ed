//! The nouns of lakechat, parsed once at the edge and trusted from there on.
//!
//! Nothing here does I/O, and nothing depends on a back end: `std`, `bytes`, `serde` and `uuid` only.

pub mod channel;
pub mod file;
pub mod id;
pub mod message;
pub mod name;
pub mod problem;
pub mod secret;
pub mod user;

pub use channel::{Channel, ChannelKind, Member, Role};
pub use file::{Attachment, File, FileId, FileLocation};
pub use id::{Id, Partition};
pub use message::{Cells, Change, ChangeKind, HistoryRow, Message};
pub use name::{ChannelName, ClientMsgId, UserName};
pub use problem::{CauseChain, Code, Problem};
pub use secret::Secret;
pub use user::{LoginSession, User};
