//! What the tests stand on: contracts of the ports, and from outside the release binary as a
//! process, its wire, and people.
//!
//! Black-box tests speak to the server only as any client could; what they know of its insides is what its
//! documents promise.

pub mod alone;
pub mod archive;
pub mod audit;
pub mod bytes;
pub mod certificate;
pub mod cluster;
pub mod contract;
pub mod conversation;
pub mod earlier_release;
pub mod fault_proxy;
pub mod hbase;
pub mod hbase_shell;
pub mod http;
pub mod input;
pub mod links;
pub mod narrow;
pub mod nginx;
pub mod on_disk;
pub mod on_hbase;
pub mod on_hdfs;
pub mod on_kafka;
pub mod people;
pub mod power_cut;
pub mod preload;
pub mod redis_server;
pub mod server;
pub mod shifted_clock;
pub mod simulation;
pub mod stack;
pub mod terminal;
pub mod traffic;
pub mod tus;
pub mod ws;

pub use http::{Answer, Http};
pub use people::Person;
pub use server::{Mode, Server};
pub use ws::{Closed, Ws};

use std::time::Duration;

/// How long anything may take before a test calls it lost. Far beyond what it takes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for something, but not for ever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("it happens within the deadline")
}

/// Asks again and again until something is so.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(DEADLINE, asking).await;
    answer.unwrap_or_else(|_| panic!("within the deadline: {what}"))
}
