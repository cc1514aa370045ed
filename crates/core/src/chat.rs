//! Chat: from a frame to the log, and from the log to every socket and into history.
//!
//! Servers don't coordinate with each other. Each reads the same log and folds it to the same
//! conclusions (`log::fold`); everything else here follows from those.
//!
//! The application calls [`start()`], runs what it returns, and hands [`Chat`] to HTTP and to
//! [`session`]s. The other modules are private; the feature `testing` opens them to white-box tests.

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

mod read;
mod service;
pub mod session;
mod start;

pub use archive::Batching;
pub use hub::HubChannel;
pub use hub::outbox::OutboxBounds;
pub use log::MemoryBounds;
pub use log::fold::WINDOW_MS;
pub use service::{
    ChannelPage, ChannelPresence, Chat, Health, MemberPage, Page, PageQuery, PresentSession,
    PresentUser, Settings, limit_invalid,
};
pub use start::{BackgroundTask, Ports, Running, StartError, Threads, start};
pub use wire::{ChannelObject, SessionLimits};
