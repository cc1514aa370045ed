//! The subcommands other than `serve`.

pub mod config;
