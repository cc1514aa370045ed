//! Chat: carries a frame to the log, and each record of the log to the sockets and into history.
//!
//! Servers don't coordinate with each other. Each one reads the same log and applies the same
//! deterministic function to it (`log::fold`). The other modules only act on the results.
//!
//! The application calls [`start()`], runs the tasks that it returns, and passes [`Chat`] to HTTP and
//! to [`session`]s. The other modules are private; the feature `testing` makes them public for
//! white-box tests.

#[cfg(not(feature = "testing"))]
mod archive;
#[cfg(feature = "testing")]
pub mod archive;
#[cfg(not(feature = "testing"))]
mod clock;
#[cfg(feature = "testing")]
pub mod clock;
#[cfg(not(feature = "testing"))]
mod hub;
#[cfg(feature = "testing")]
pub mod hub;
#[cfg(not(feature = "testing"))]
mod log;
#[cfg(feature = "testing")]
pub mod log;
#[cfg(not(feature = "testing"))]
mod wire;
#[cfg(feature = "testing")]
pub mod wire;

mod audit;
mod read;
mod send_limits;
mod service;
pub mod session;
mod start;

pub use archive::Batching;
pub use audit::{AuditOptions, AuditProgress, AuditReport, ComparedPartition, LogOrigin, audit};
pub use hub::HubChannel;
pub use hub::outbox::OutboxBounds;
pub use log::MemoryBounds;
pub use log::fold::{WARM_UP_MS, WINDOW_MS};
pub use service::{
    ChannelPage, ChannelPresence, Chat, ChatSettings, DirectoryPorts, Health, MemberPage,
    MessageChange, NewMessage, PAGE_BYTES, Page, PageQuery, PartHealth, PresentSession,
    PresentUser, limit_invalid,
};
pub use start::{BackgroundTask, Ports, Running, StartError, Threads, start};
pub use wire::{
    AckLevel, ChannelObject, SessionLimits, emoji::emoji, parse_ack_level, parse_client_msg_id,
    parse_file_id,
};
