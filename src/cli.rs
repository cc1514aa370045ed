//! The subcommands other than `serve`.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod chat;
pub mod config;
pub mod dead_letters;
pub mod get;
pub mod health;
#[cfg(feature = "cluster")]
pub mod log;
mod moment;
mod password;
pub mod put;
#[cfg(feature = "cluster")]
pub mod schema;
pub mod simulate;
mod transfer;
