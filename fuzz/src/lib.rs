//! The parsers of the binary, by links into its sources: a binary has no library.

#![allow(dead_code, unused_imports)]

pub mod config;
pub mod files;
pub mod query;
pub mod telemetry;
