//! Whose the log is: topic `<prefix>.installation`, with one partition, which keeps its records for ever.
//!
//! Kafka has no "create if absent" for a value, but its order decides as it does in the log: each server that
//! finds the topic empty appends a claim, and the first one counts. A reassignment counts wherever it
//! stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::error::{broken, call_failed, unavailable};
use super::events::ClientEvents;
use super::metadata::{self, DEADLINE};
use super::start_error::StartError;
use super::topics::TopicAdmin;
use super::{KafkaSettings, clients};
use crate::owner::{Installation, Place};
use lakechat_core::ports::PortError;

/// How long a poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// A record of the topic.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OwnerClaim {
    installation: String,
    /// Whether it counts although the log has an owner.
    reassigns: bool,
}

/// The topic that names the installation of a log.
pub struct OwnerTopic {
    settings: Arc<KafkaSettings>,
}

impl OwnerTopic {
    /// Does not connect.
    pub fn new(settings: KafkaSettings) -> OwnerTopic {
        OwnerTopic {
            settings: Arc::new(settings),
        }
    }

    async fn append(
        &self,
        installation: &Installation,
        reassigns: bool,
    ) -> Result<Option<Installation>, PortError> {
        let claim = OwnerClaim {
            installation: installation.encode(),
            reassigns,
        };
        let (settings, runtime) = (Arc::clone(&self.settings), Handle::current());
        blocking(move || {
            let admin = TopicAdmin::new(&settings).map_err(StartError::from)?;
            runtime.block_on(async {
                admin.prepare_installation().await?;
                write(&settings, &claim).await
            })?;
            read(&settings)
        })
        .await
    }
}

#[async_trait]
impl Place for OwnerTopic {
    fn name(&self) -> String {
        let topic = self.settings.messages_topic();
        format!("the topic {topic} in Kafka (kafka.topic_prefix)")
    }

    async fn owner(&self) -> Result<Option<Installation>, PortError> {
        let settings = Arc::clone(&self.settings);
        blocking(move || read(&settings)).await
    }

    async fn claim(&self, installation: &Installation) -> Result<Installation, PortError> {
        if let Some(owner) = self.owner().await? {
            return Ok(owner);
        }
        let owner = self.append(installation, false).await?;
        owner.ok_or_else(|| unavailable("a claim that was written can't be read yet"))
    }

    async fn reassign(&self, installation: &Installation) -> Result<(), PortError> {
        match self.append(installation, true).await? {
            Some(owner) if owner == *installation => Ok(()),
            _ => Err(unavailable("another reassignment came behind this one")),
        }
    }
}

/// librdkafka's calls block, and so does the end of its clients.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(broken(panic)))
}

async fn write(settings: &KafkaSettings, claim: &OwnerClaim) -> Result<(), PortError> {
    let events = ClientEvents::of("owner");
    let producer: FutureProducer<ClientEvents> = clients::dead_letter_producer(settings)
        .create_with_context(events.clone())
        .map_err(StartError::from)?;
    let (topic, value) = (
        settings.installation_topic(),
        serde_json::to_vec(claim).expect("a claim is JSON"),
    );
    let record = FutureRecord::<(), _>::to(&topic)
        .partition(0)
        .payload(&value);
    let written = producer.send(record, DEADLINE).await;
    written
        .map(drop)
        .map_err(|(error, _)| call_failed(error, &events))
}

/// Reads the topic to its end. `None` as well if it does not exist.
fn read(settings: &KafkaSettings) -> Result<Option<Installation>, PortError> {
    let events = ClientEvents::of("owner");
    let consumer: BaseConsumer<ClientEvents> = clients::reader_to_end(settings, "owner")
        .create_with_context(events.clone())
        .map_err(StartError::from)?;
    let topic = settings.installation_topic();
    let failed = |error: KafkaError| call_failed(error, &events);
    if metadata::shape(consumer.client(), &topic)
        .map_err(failed)?
        .is_none()
    {
        return Ok(None);
    }
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&topic, 0, rdkafka::Offset::Beginning)
        .map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let (mut owner, deadline) = (None, Instant::now() + DEADLINE);
    while Instant::now() < deadline {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(record)) => {
                let claim = decode(&topic, record.payload().unwrap_or_default())?;
                owner = owner_after(owner, claim);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(owner),
            Some(Err(error)) => return Err(failed(error)),
        }
    }
    Err(unavailable(format!(
        "topic {topic} could not be read to its end in time"
    )))
}

fn decode(topic: &str, value: &[u8]) -> Result<(Installation, bool), PortError> {
    let claim: Option<OwnerClaim> = serde_json::from_slice(value).ok();
    let claim = claim.and_then(|claim| Some((claim.installation.parse().ok()?, claim.reassigns)));
    claim.ok_or_else(|| broken(format!("a record of topic {topic} is not a claim")))
}

fn owner_after(
    owner: Option<Installation>,
    (claimant, reassigns): (Installation, bool),
) -> Option<Installation> {
    match owner {
        Some(owner) if !reassigns => Some(owner),
        _ => Some(claimant),
    }
}

impl From<StartError> for PortError {
    fn from(error: StartError) -> PortError {
        match error {
            StartError::Away(reason) => unavailable(reason),
            other => broken(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn first_claim_counts_until_a_reassignment() {
        let installation = |id: u128| Installation {
            id: Uuid::from_u128(id),
            meta_table: "lakechat:meta".to_owned(),
        };
        let mut owner = None;
        for (claimant, reassigns, expected) in [
            (1, false, 1),
            (2, false, 1),
            (2, true, 2),
            (3, false, 2),
            (1, true, 1),
        ] {
            owner = owner_after(owner, (installation(claimant), reassigns));
            assert_eq!(owner, Some(installation(expected)));
        }
    }
}
