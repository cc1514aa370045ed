//! The subcommands other than `serve`.

pub mod audit;
pub mod backup;
pub mod chat;
pub mod config;
pub mod dead_letters;
pub mod health;
#[cfg(feature = "cluster")]
pub mod log;
mod moment;
#[cfg(feature = "cluster")]
pub mod schema;
pub mod simulate;
