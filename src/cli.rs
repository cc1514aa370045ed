//! The subcommands other than `serve`.

pub mod backup;
pub mod chat;
pub mod config;
pub mod log;
pub mod schema;
