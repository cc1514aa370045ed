//! The subcommands other than `serve`.

pub mod config;
//! The subcommands other than serve.

pub mod backup;
