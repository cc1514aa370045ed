//! The frames of `/chat`: what comes in is parsed once, what goes out is encoded once.
//!
//! Text frames, one compact JSON object each. Ids are strings of 20 decimal digits; times are
//! integers, ms since 1970.

pub mod close;
mod incoming;
mod outgoing;

pub use incoming::{AckLevel, Incoming, Join, PageRequest, Ref, Request, SendRequest};
pub use outgoing::*;
