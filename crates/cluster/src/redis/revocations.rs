//! Revocations by Redis' Pub/Sub. Nothing is stored: servers that aren't connected miss them.
//!
//! The channel is named after the installation, so that servers of another one with the same prefix don't
//! receive them. A message is a JSON object: `{"user":"ann","login":"<uuid>"}`, or without `login` for the
//! whole account.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncCommands, AsyncConnectionConfig, Client, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::RedisSettings;
use super::keys::Keys;
use super::link::open_client;
use crate::owner::Installation;
use lakechat_core::domain::UserName;
use lakechat_core::ports::revocations::{Revocation, RevocationEvent};
use lakechat_core::ports::{PortError, Revocations};

/// Revocations that wait to be published.
const MAX_PENDING: usize = 1_024;

/// How long connecting, and each publication, may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The time between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Message {
    user: UserName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<Uuid>,
}

/// The revocations of all servers that share a Redis and an installation.
pub struct RedisRevocations {
    client: Client,
    channel: String,
    pending: mpsc::Sender<Revocation>,
    /// `None` once `run` has taken it.
    published: Mutex<Option<mpsc::Receiver<Revocation>>>,
}

struct Connected {
    publisher: MultiplexedConnection,
    messages: PubSubStream,
    /// Unsubscribes when it is dropped.
    _subscription: PubSubSink,
}

impl RedisRevocations {
    /// Does not connect: `run` does, and retries until Redis responds.
    pub fn new(
        settings: &RedisSettings,
        ours: &Installation,
    ) -> Result<RedisRevocations, PortError> {
        // Full: the revocation is lost, and the other servers find out by their checks.
        let (pending, published) = mpsc::channel(MAX_PENDING);
        Ok(RedisRevocations {
            client: open_client(&settings.url)?,
            channel: Keys::new(&settings.prefix).revocations(ours),
            pending,
            published: Mutex::new(Some(published)),
        })
    }

    async fn connect(&self) -> RedisResult<Connected> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let publisher = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let (mut subscription, messages) = self.client.get_async_pubsub().await?.split();
        subscription.subscribe(&self.channel).await?;
        Ok(Connected {
            publisher,
            messages,
            _subscription: subscription,
        })
    }

    /// Relays both ways until the connection breaks.
    async fn relay(
        &self,
        connected: &mut Connected,
        published: &mut mpsc::Receiver<Revocation>,
        on_event: &(dyn Fn(RevocationEvent) + Send + Sync),
    ) -> RedisResult<()> {
        loop {
            tokio::select! {
                // Neither loses anything by losing: both are cancel safe.
                message = connected.messages.next() => match message {
                    Some(message) => match decode(message.get_payload_bytes()) {
                        Some(revocation) => on_event(RevocationEvent::Revoked(revocation)),
                        None => tracing::warn!(channel = self.channel, "not a revocation"),
                    },
                    None => return Ok(()),
                },
                Some(revocation) = published.recv() => {
                    let message = encode(revocation);
                    let _: i64 = connected.publisher.publish(&self.channel, message).await?;
                }
            }
        }
    }

    async fn relay_forever(
        &self,
        published: &mut mpsc::Receiver<Revocation>,
        on_event: &(dyn Fn(RevocationEvent) + Send + Sync),
    ) {
        let mut was_connected = true;
        loop {
            let reason = match timeout(3 * TIMEOUT, self.connect()).await {
                Ok(Ok(mut connected)) => {
                    was_connected = true;
                    on_event(RevocationEvent::Resubscribed);
                    let relayed = self.relay(&mut connected, published, on_event).await;
                    relayed.map_or_else(|error| error.to_string(), |()| "disconnected".to_owned())
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "Redis does not answer".to_owned(),
            };
            if std::mem::take(&mut was_connected) {
                tracing::warn!(
                    reason,
                    "this server and the others learn of ended logins after up to 30 s, until Redis is \
                     reachable again"
                );
            }
            sleep(RETRY).await;
        }
    }
}

#[async_trait]
impl Revocations for RedisRevocations {
    fn publish(&self, revocation: Revocation) {
        if self.pending.try_send(revocation).is_err() {
            metrics::counter!("lakechat_revocations_dropped_total").increment(1);
        }
    }

    async fn run(
        &self,
        on_event: &(dyn Fn(RevocationEvent) + Send + Sync),
        stop: CancellationToken,
    ) {
        let published = self.published.lock().expect("no panic while held").take();
        let Some(mut published) = published else {
            debug_assert!(false, "run is called once");
            return;
        };
        stop.run_until_cancelled(self.relay_forever(&mut published, on_event))
            .await;
    }
}

fn encode(revocation: Revocation) -> Vec<u8> {
    let message = match revocation {
        Revocation::Login { user, login } => Message {
            user,
            login: Some(login),
        },
        Revocation::Account { user } => Message { user, login: None },
    };
    serde_json::to_vec(&message).expect("names and ids are JSON")
}

fn decode(message: &[u8]) -> Option<Revocation> {
    let Message { user, login } = serde_json::from_slice(message).ok()?;
    Some(match login {
        Some(login) => Revocation::Login { user, login },
        None => Revocation::Account { user },
    })
}
