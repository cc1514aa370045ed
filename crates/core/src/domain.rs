//! The types that all parts share: names, ids, messages, channels, files, problems. They are parsed
//! once at the edge; code behind it relies on them without further checks.
//!
//! Nothing here does I/O or depends on a back end: the only libraries are `std`, `base64`,
//! `bytes`, `serde` and `uuid`.

pub mod audit_entry;
pub mod channel;
pub mod clock;
pub mod file;
pub mod finding;
pub mod id;
pub mod invite;
pub mod message;
pub mod name;
pub mod problem;
pub mod secret;
pub mod stored_name;
pub mod upload;
pub mod user;

pub use audit_entry::{AuditEntry, AuditId};
pub use channel::{Channel, ChannelKind, Member, Membership, Role};
pub use clock::now_ms;
pub use file::{Attachment, File, FileId, FileLocation, FilePart};
pub use finding::{Finding, FindingKind, Findings};
pub use id::{Id, Partition};
pub use invite::Invite;
pub use message::{Cells, Change, ChangeKind, HistoryRow, Message, ReactionCounts};
pub use name::{ChannelName, ClientMsgId, UserName};
pub use problem::{CauseChain, Code, Problem};
pub use secret::Secret;
pub use stored_name::StoredName;
pub use upload::{Upload, UploadBytes, UploadState};
pub use user::{LoginSession, ReplacedToken, User};
