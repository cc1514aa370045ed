//! The subcommands other than `serve`.

pub mod backup;
pub mod chat;
pub mod config;
pub mod health;
#[cfg(feature = "cluster")]
pub mod log;
#[cfg(feature = "cluster")]
pub mod schema;
pub mod simulate;
