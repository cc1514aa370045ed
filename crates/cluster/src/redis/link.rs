//! The connection to Redis, and whether it does its work.
//!
//! It is made anew by the writer alone, which then says everything again: after a restart Redis
//! knows neither scripts nor entries, so nobody may read from a connection that the writer doesn't
//! know of. That is why it is no `ConnectionManager`, which reconnects unseen.

use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::scripts::{Scripts, call};
use lakechat_core::ports::PortError;

const PART: &str = "presence";

/// How long a connection, and an answer to a write, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long somebody who asks waits.
const READ: Duration = Duration::from_millis(400);

/// Answers read at once: each may be a megabyte.
const READS: usize = 8;

/// Why Redis can't be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Away(String);

pub struct Link {
    client: Client,
    /// Without a password, for messages.
    address: String,
    pub scripts: Scripts,
    state: Mutex<State>,
    reads: Semaphore,
}

enum State {
    Up(MultiplexedConnection),
    Away(String),
}

impl Link {
    /// A link that is away until it is opened.
    pub fn new(url: &str) -> Result<Link, PortError> {
        // Whoever was first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(url).map_err(|error| PortError::Broken {
            part: PART,
            reason: format!("redis.url can't be used: {error}"),
        })?;
        let address = client.get_connection_info().addr().to_string();
        let state = State::Away(format!("Redis at {address} was not asked yet"));
        Ok(Link {
            client,
            address,
            scripts: Scripts::new(),
            state: Mutex::new(state),
            reads: Semaphore::new(READS),
        })
    }

    /// Why it is away, if it is.
    pub fn trouble(&self) -> Option<String> {
        match &*self.state.lock().expect("no panic while held") {
            State::Up(_) => None,
            State::Away(why) => Some(why.clone()),
        }
    }

    /// A connection that knows the scripts. Nobody else sees it until it is `up`.
    pub async fn connect(&self) -> Result<MultiplexedConnection, Away> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
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
        let connected = timeout(2 * PATIENCE, connecting).await;
        connected
            .map_err(|_| self.silent())
            .and_then(|connected| connected.map_err(|error| self.away(&error)))
            .inspect_err(|why| self.fail(why))
    }

    /// The connection holds all that this server has to say: it may be asked.
    pub fn up(&self, connection: MultiplexedConnection) {
        *self.state.lock().expect("no panic while held") = State::Up(connection);
    }

    pub async fn write(
        &self,
        connection: &mut MultiplexedConnection,
        commands: &Pipeline,
    ) -> Result<(), Away> {
        let written = commands.exec_async(connection).await;
        let written = written.map_err(|error| self.away(&error));
        written.inspect_err(|why| self.fail(why))
    }

    /// The connection, while it is up.
    pub fn connection(&self) -> Result<MultiplexedConnection, Away> {
        match &*self.state.lock().expect("no panic while held") {
            State::Up(connection) => Ok(connection.clone()),
            State::Away(why) => Err(Away(why.clone())),
        }
    }

    /// The members of a sorted set whose deadlines lie ahead, some of them if there are more than
    /// `most`. At once if Redis is known to be away.
    pub async fn alive(&self, key: &str, most: usize) -> Result<Vec<String>, Away> {
        let deadline = Instant::now() + READ;
        // Full: who has waited for too long is told that nothing is known.
        let Ok(Ok(_turn)) = timeout_at(deadline, self.reads.acquire()).await else {
            return Err(Away("too many ask at once".to_owned()));
        };
        let mut connection = self.connection()?;
        let mut command = call(&self.scripts.alive, &[key]);
        command.arg(most);
        let asked = timeout_at(deadline, command.query_async(&mut connection)).await;
        let answer = match asked {
            Ok(answer) => answer.map_err(|error| self.away(&error)),
            Err(_) => Err(self.silent()),
        };
        // Who asks next doesn't wait; the writer sees to it.
        answer.inspect_err(|why| self.fail(why))
    }

    fn away(&self, error: &RedisError) -> Away {
        if error.is_timeout() {
            return self.silent();
        }
        let address = &self.address;
        if error.is_io_error() || error.is_connection_dropped() {
            return Away(format!("is Redis at {address}? {error}"));
        }
        Away(format!("Redis at {address}: {error}"))
    }

    fn silent(&self) -> Away {
        Away(format!("Redis at {} does not answer", self.address))
    }

    fn fail(&self, why: &Away) {
        metrics::counter!("lakechat_presence_failures_total").increment(1);
        *self.state.lock().expect("no panic while held") = State::Away(why.0.clone());
    }
}
