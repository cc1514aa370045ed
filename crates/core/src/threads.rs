//! Threads for calls that block, and the queues in front of them.
//!
//! No caller waits for a thread that is gone, and no thread ends unnoticed:
//!
//! - A [`Call`] that is dropped answers its caller, also if it panics.
//! - A queue that is abandoned drops the calls that wait.
//! - A thread that panics is counted, and runs again unless its owner wants to end with it.
//!
//! [`stream_from_thread`] is for listings, which end by themselves.

mod call;
mod call_queue;
mod owned_thread;
mod stream;
mod work_queue;

pub use call::{Answer, Call, Context, Lost};
pub use call_queue::{CallError, CallQueue};
pub use owned_thread::{OwnedThread, catch_panic};
pub use stream::stream_from_thread;
pub use work_queue::{Rejected, Taken, WorkQueue};
