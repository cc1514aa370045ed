//! Chat: from a frame to the log, and from the log to everybody's socket and into history.
//!
//! Servers agree on nothing by talking to each other. Each reads the same log and comes to the
//! same conclusions by [`log::fold`]; everything else here goes by what it says.

pub mod archive;
pub mod clock;
pub mod hub;
pub mod log;
pub mod read;
pub mod service;
pub mod session;
pub mod wire;
