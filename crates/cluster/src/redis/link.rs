//! The connection to Redis, and its state.
//!
//! Only the writer reconnects, and then writes everything again: a restarted Redis has neither scripts nor
//! entries, so nothing may be read over a connection before the writer has filled it. That rules out redis'
//! `ConnectionManager`, which reconnects by itself.

use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::keys::Keys;
use super::owner_key;
use super::scripts::{Scripts, call};
use crate::owner::Installation;
use lakechat_core::ports::PortError;
use lakechat_core::ports::presence::{ConnectionLimit, ConnectionLimits};

pub(super) const PART: &str = "presence";

/// How long connecting, and each write, may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a read may take: somebody waits for its answer.
const READ_TIMEOUT: Duration = Duration::from_millis(400);

/// How long a place is reserved: the beginning of its session is written milliseconds later.
const RESERVED_MS: u64 = 5_000;

/// Parallel reads: each answer may have a megabyte.
const MAX_READS: usize = 8;

/// Redis could not be reached, or failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(String);

pub(super) struct Link {
    client: Client,
    /// For error texts: without the password.
    address: String,
    pub scripts: Scripts,
    state: Mutex<LinkState>,
    reads: Semaphore,
}

enum LinkState {
    Up(MultiplexedConnection),
    Down(String),
}

impl Link {
    /// A link that is down until [`Link::set_up`].
    pub fn new(url: &str) -> Result<Link, PortError> {
        let client = open_client(url)?;
        let address = client.get_connection_info().addr().to_string();
        let state = LinkState::Down(format!("Redis at {address} is not connected yet"));
        Ok(Link {
            client,
            address,
            scripts: Scripts::new(),
            state: Mutex::new(state),
            reads: Semaphore::new(MAX_READS),
        })
    }

    /// The reason, while it is down.
    pub fn failure(&self) -> Option<String> {
        match &*self.state.lock().expect("no panic while held") {
            LinkState::Up(_) => None,
            LinkState::Down(why) => Some(why.clone()),
        }
    }

    /// Connects and loads the scripts. Reads use the connection only after [`Link::set_up`].
    pub async fn connect(&self) -> Result<MultiplexedConnection, Unavailable> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(WRITE_TIMEOUT))
            .set_response_timeout(Some(WRITE_TIMEOUT));
        let connecting = async {
            let client = &self.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            for script in self.scripts.all() {
                script.load_async(&mut connection).await?;
            }
            RedisResult::Ok(connection)
        };
        let connected = timeout(2 * WRITE_TIMEOUT, connecting).await;
        connected
            .map_err(|_| self.timed_out())
            .and_then(|connected| connected.map_err(|error| self.unavailable(&error)))
            .inspect_err(|why| self.set_down(why))
    }

    /// Makes a connection available for reads, once all of this server's entries were written over it.
    pub fn set_up(&self, connection: MultiplexedConnection) {
        *self.state.lock().expect("no panic while held") = LinkState::Up(connection);
    }

    /// Claims the keys for an installation, and sets the link down if they are another one's.
    pub async fn claim(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &Keys,
        ours: &Installation,
    ) -> Result<(), Unavailable> {
        let claimed = match owner_key::claim(connection, keys, ours).await {
            Ok(Some(owner)) if owner == *ours => Ok(()),
            Ok(owner) => Err(Unavailable(keys.not_ours(owner.as_ref(), ours))),
            Err(error) => Err(self.unavailable(&error)),
        };
        claimed.inspect_err(|why| self.set_down(why))
    }

    pub async fn write(
        &self,
        connection: &mut MultiplexedConnection,
        commands: &Pipeline,
    ) -> Result<(), Unavailable> {
        let written = commands.exec_async(connection).await;
        let written = written.map_err(|error| self.unavailable(&error));
        written.inspect_err(|why| self.set_down(why))
    }

    /// The connection, or the reason why the link is down.
    pub fn connection(&self) -> Result<MultiplexedConnection, Unavailable> {
        match &*self.state.lock().expect("no panic while held") {
            LinkState::Up(connection) => Ok(connection.clone()),
            LinkState::Down(why) => Err(Unavailable(why.clone())),
        }
    }

    /// The members of a sorted set whose deadlines have not passed; `most` of them if there are more. Fails
    /// at once while the link is down.
    pub async fn live_members(&self, key: &str, most: usize) -> Result<Vec<String>, Unavailable> {
        let deadline = Instant::now() + READ_TIMEOUT;
        // Full: waits, and fails at the deadline.
        let Ok(Ok(_turn)) = timeout_at(deadline, self.reads.acquire()).await else {
            return Err(Unavailable("too many reads at once".to_owned()));
        };
        let mut connection = self.connection()?;
        let mut command = call(&self.scripts.alive, &[key]);
        command.arg(most);
        match timeout_at(deadline, command.query_async(&mut connection)).await {
            Ok(Ok(members)) => Ok(members),
            Ok(Err(error)) => {
                let why = self.unavailable(&error);
                self.set_down(&why);
                Err(why)
            }
            // Late for this reader only. Whether Redis has stopped answering is the writer's to find out:
            // reconnecting makes it write all entries again, which a slow Redis is the last to need.
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Reserves a place for a session; the limit that is reached, if one is. Fails at once while the link is
    /// down.
    pub async fn reserve(
        &self,
        user: &str,
        network: &str,
        id: Uuid,
        limits: ConnectionLimits,
    ) -> Result<Option<ConnectionLimit>, Unavailable> {
        let mut connection = self.connection()?;
        let mut command = call(&self.scripts.reserve, &[user, network]);
        command
            .arg(RESERVED_MS)
            .arg(id.to_string())
            .arg(limits.per_user)
            .arg(limits.per_network);
        let reached: RedisResult<u8> =
            match timeout(READ_TIMEOUT, command.query_async(&mut connection)).await {
                Ok(reached) => reached,
                Err(_) => return Err(self.timed_out()),
            };
        match reached {
            Ok(1) => Ok(Some(ConnectionLimit::OfUser)),
            Ok(2) => Ok(Some(ConnectionLimit::OfNetwork)),
            Ok(_) => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn unavailable(&self, error: &RedisError) -> Unavailable {
        if error.is_timeout() {
            return self.timed_out();
        }
        let address = &self.address;
        if error.is_io_error() || error.is_connection_dropped() {
            return Unavailable(format!("is Redis at {address}? {error}"));
        }
        Unavailable(format!("Redis at {address}: {error}"))
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable(format!("Redis at {} does not answer", self.address))
    }

    fn set_down(&self, why: &Unavailable) {
        metrics::counter!("lakechat_presence_failures_total").increment(1);
        *self.state.lock().expect("no panic while held") = LinkState::Down(why.0.clone());
    }
}

/// Does not connect.
pub(super) fn open_client(url: &str) -> Result<Client, PortError> {
    // Fails if another part of the process has installed one, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::open(url)
        .map_err(|error| PortError::broken(PART, format!("redis.url can't be used: {error}")))
}
