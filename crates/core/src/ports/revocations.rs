//! Revocations: which logins and accounts have ended, told to the other servers at once.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::UserName;

/// Something that no longer gives access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// A login session has ended.
    Login { user: UserName, login: Uuid },
    /// The account was disabled, with all its login sessions.
    Account { user: UserName },
}

/// What a server hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Revoked(Revocation),
    /// Revocations may have been missed until now.
    Gap,
}

/// Tells servers of revocations, some milliseconds after they happened.
///
/// This is the fast path. The directory has the truth, and each server asks it every 30 s. So a
/// revocation may get lost, be delivered twice, or come back to the server that published it.
///
/// An adapter for a single server needs to do nothing: see [`OnlyServer`].
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Tells the other servers. Called after the directory has it.
    ///
    /// Never blocks and never fails. The queue is bounded. If it is full, or the common store is
    /// unavailable, the revocation is lost.
    fn publish(&self, revocation: Revocation);

    /// Passes on what other servers publish, and publishes what this one does, until `stop`.
    /// Reconnects by itself; each time it is connected, it reports a [`Heard::Gap`]. Called once.
    ///
    /// Dropping the future loses what is queued.
    async fn run(&self, hear: &(dyn Fn(Heard) + Send + Sync), stop: CancellationToken);
}

/// There are no other servers.
#[derive(Debug)]
pub struct OnlyServer;

#[async_trait]
impl Revocations for OnlyServer {
    fn publish(&self, _: Revocation) {}

    async fn run(&self, _: &(dyn Fn(Heard) + Send + Sync), stop: CancellationToken) {
        stop.cancelled().await;
    }
}
