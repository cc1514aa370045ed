//! The read path, resume, the hand-over to live and the archiver against a plain model: random logs,
//! tails of any size, an archiver that stands still and fails, sessions cut at any frame, restarts.
//! And the answer to a send when log or history fail, frame by frame.
//!
//! Every run prints its seed; `TEST_SEED=<n>` runs that one alone.

mod answers;
mod audit;
mod catch_ups;
mod chance;
mod checks;
mod claims;
mod client;
mod deaths;
mod fickle;
mod flushes;
mod gate;
mod held_channels;
mod loads;
mod marks;
mod model;
mod numbers;
mod pages;
mod requests;
mod server;
mod sessions;
mod slow_link;
mod stage;
mod stopped_partition;
mod stops;
mod tails;
mod unfinished;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Runs a story under some seeds, and tells which one failed.
async fn under_seeds(count: u64, story: impl AsyncFn(u64)) {
    let seeds: Vec<u64> = match std::env::var("TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("TEST_SEED is a number")],
        Err(_) => (0..count).map(|_| rand::random()).collect(),
    };
    for seed in seeds {
        let outcome = AssertUnwindSafe(story(seed)).catch_unwind().await;
        if let Err(panic) = outcome {
            eprintln!("TEST_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
