//! Revocations: announces ended logins and disabled accounts to the other servers.

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

/// An event from other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationEvent {
    Revoked(Revocation),
    /// The subscription was (re)established: earlier revocations may have been missed.
    Resubscribed,
}

/// Announces revocations to all servers within milliseconds.
///
/// This is the fast path. The directory is authoritative, and each server reads it every 30 s. So a
/// revocation may get lost, be delivered twice, or come back to the server that published it.
///
/// An adapter for a single server needs to do nothing: see [`OnlyServer`].
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Announces a revocation to the other servers. Called after the directory has stored it.
    ///
    /// Never blocks and never fails. The queue is bounded. If it is full, or the common store is
    /// unavailable, the revocation is lost.
    fn publish(&self, revocation: Revocation);

    /// Passes on what other servers publish, and publishes what this one does, until `stop`.
    /// Reconnects by itself; each time it is connected, it reports a [`RevocationEvent::Resubscribed`]. Called once.
    ///
    /// Dropping the future loses what is queued.
    async fn run(
        &self,
        on_event: &(dyn Fn(RevocationEvent) + Send + Sync),
        stop: CancellationToken,
    );
}

/// For a single server: there are no others to announce anything to.
#[derive(Debug)]
pub struct OnlyServer;

#[async_trait]
impl Revocations for OnlyServer {
    fn publish(&self, _: Revocation) {}

    async fn run(&self, _: &(dyn Fn(RevocationEvent) + Send + Sync), stop: CancellationToken) {
        stop.cancelled().await;
    }
}
