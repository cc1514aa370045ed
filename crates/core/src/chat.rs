//! Chat: from a frame to the log, and from the log to everybody's socket and into history.
//!
//! Servers agree on nothing by talking to each other. Each reads the same log and comes to the
//! same conclusions by [`fold`]; everything else here goes by what it says.

pub mod archiver;
pub mod barrier;
pub mod close;
pub mod entry;
pub mod fold;
pub mod hub;
pub mod log;
pub mod outbox;
pub mod partition;
pub mod pending;
pub mod protocol;
pub mod pulse;
pub mod read;
pub mod reader;
pub mod record;
pub mod roster;
pub mod service;
pub mod session;
pub mod tail;
