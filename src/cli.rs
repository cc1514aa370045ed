//! The subcommands other than `serve`.

pub mod backup;
pub mod chat;
pub mod config;
#[cfg(feature = "cluster")]
pub mod log;
#[cfg(feature = "cluster")]
pub mod schema;
