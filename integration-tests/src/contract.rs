//! One contract suite per port: rules that every adapter of the port obeys.
//!
//! A rule is a function over a [`Backend`]. Rules use random names and compare with the state before,
//! so that they can run concurrently against one shared store. A macro per port, such as
//! [`crate::broker_contract!`], turns each rule into a test.

pub mod broker;
pub mod changes;
pub mod dead_letters;
pub mod directory;
pub mod file_store;
pub mod history;
pub mod log_places;
pub mod members;
pub mod place;
pub mod presence;
pub mod uploads;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use lakechat_core::domain::{ChannelName, Id, Partition, UserName};
use lakechat_core::ports::broker::{DeadLetter, Offset};
use lakechat_core::ports::{Broker, Directory, FileStore, History};

/// A store under test, with operations that no port offers.
pub trait Backend: Send + Sync + Sized + 'static {
    fn broker(&self) -> Arc<dyn Broker>;
    fn history(&self) -> Arc<dyn History>;
    fn directory(&self) -> Directory;
    fn file_store(&self) -> Arc<dyn FileStore>;

    /// Disconnects and connects again, as another process would.
    fn reopen(self) -> impl Future<Output = Result<Self>> + Send;

    /// Deletes a partition's records below an offset; returns false if the back end can't.
    fn forget_below(
        &self,
        partition: Partition,
        offset: Offset,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Appends to a partition's end what takes an offset and is no record that a reader returns; returns
    /// false if the back end can't. Records may precede it.
    fn append_gap(&self, _partition: Partition) -> impl Future<Output = Result<bool>> + Send {
        async { Ok(false) }
    }

    /// The dead letters, in any order: at least `count`, if they arrive in time.
    fn dead_letters(&self, count: usize) -> impl Future<Output = Result<Vec<DeadLetter>>> + Send;

    /// The number of drafts in the file store, including abandoned ones.
    fn drafts(&self) -> impl Future<Output = Result<usize>> + Send;
}

/// Makes a test of each rule of a suite. `$fresh` is an async function that returns a new [`Backend`].
#[macro_export]
macro_rules! rules {
    ($fresh:path, $($suite:ident: $($rule:ident)*;)*) => {$(
        mod $suite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $rule() -> anyhow::Result<()> {
                    $crate::contract::$suite::$rule($fresh().await?).await
                }
            )*
        }
    )*};
}

/// How long a rule waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A random text, so that rules don't collide.
pub fn random() -> String {
    hex(rand::random::<u64>())
}

fn hex(n: u64) -> String {
    format!("{n:016x}")
}

pub fn channel() -> ChannelName {
    channel_named(&format!("c{}", random()))
}

pub fn channel_named(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a plain name")
}

pub fn user() -> UserName {
    user_named(&format!("u{}", random()))
}

pub fn user_named(name: &str) -> UserName {
    UserName::parse(name).expect("a plain name")
}

/// The `n`th of a sequence of ids in 2026.
pub fn id(n: u64) -> Id {
    Id::mint(1_790_000_000_000 + n, Partition(3), (n % 5) as u16)
}

/// Waits until a condition holds.
pub async fn eventually<F: Future<Output = Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.with_context(|| format!("timed out waiting for: {what}"))?
}
