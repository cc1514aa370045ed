//! Whose the keys with one prefix are: the key `installation` among them, which never expires.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult};
use tokio::time::timeout;

use super::RedisSettings;
use super::keys::{Keys, place_name};
// `link` claims the key on each of its connections; opening a client is the same for both.
use super::link::{PART, open_client};
use crate::owner::{Installation, Place};
use lakechat_core::ports::PortError;

/// How long connecting and a call may take together.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The key that names the installation of a prefix.
pub struct OwnerKey {
    client: Client,
    prefix: String,
    key: String,
}

impl OwnerKey {
    /// Does not connect.
    pub fn new(settings: &RedisSettings) -> Result<OwnerKey, PortError> {
        Ok(OwnerKey {
            client: open_client(&settings.url)?,
            prefix: settings.prefix.clone(),
            key: Keys::new(&settings.prefix).installation(),
        })
    }

    /// The answer of the last of some commands.
    async fn ask(&self, commands: &Pipeline) -> Result<Option<Vec<u8>>, PortError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let asked = async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let (answer,): (Option<Vec<u8>>,) = commands.query_async(&mut connection).await?;
            RedisResult::Ok(answer)
        };
        match timeout(TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|error| PortError::unavailable(PART, error)),
            Err(_) => Err(PortError::unavailable(PART, "Redis does not answer")),
        }
    }

    fn decode(&self, value: &[u8]) -> Result<Installation, PortError> {
        let damaged = || {
            let reason = format!("key {} does not name an installation", self.key);
            PortError::broken(PART, reason)
        };
        Installation::decode(value).ok_or_else(damaged)
    }
}

/// Sets the key unless it exists; answers its value, `None` if that names no installation.
pub(super) async fn claim(
    connection: &mut MultiplexedConnection,
    keys: &Keys,
    installation: &Installation,
) -> RedisResult<Option<Installation>> {
    let claim = claim_commands(&keys.installation(), installation);
    let (value,): (Vec<u8>,) = claim.query_async(connection).await?;
    Ok(Installation::decode(&value))
}

fn claim_commands(key: &str, installation: &Installation) -> Pipeline {
    let mut claim = redis::pipe();
    claim.atomic();
    claim
        .cmd("SET")
        .arg(key)
        .arg(installation.encode())
        .arg("NX")
        .ignore();
    claim.cmd("GET").arg(key);
    claim
}

#[async_trait]
impl Place for OwnerKey {
    fn name(&self) -> String {
        place_name(&self.prefix)
    }

    async fn owner(&self) -> Result<Option<Installation>, PortError> {
        let mut get = redis::pipe();
        get.cmd("GET").arg(&self.key);
        let value = self.ask(&get).await?;
        value.map(|value| self.decode(&value)).transpose()
    }

    async fn claim(&self, installation: &Installation) -> Result<Installation, PortError> {
        let value = self.ask(&claim_commands(&self.key, installation)).await?;
        self.decode(&value.unwrap_or_default())
    }

    async fn reassign(&self, installation: &Installation) -> Result<(), PortError> {
        let mut set = redis::pipe();
        let value = installation.encode();
        set.cmd("SET").arg(&self.key).arg(value).ignore();
        set.cmd("GET").arg(&self.key);
        self.ask(&set).await.map(drop)
    }
}
