//! lakechat: chat and file transfer for people who run a Hadoop platform.

pub mod accounts;
pub mod adapters;
pub mod app;
pub mod chat;
pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod files;
pub mod http;
pub mod limits;
pub mod open_files;
pub mod ports;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
