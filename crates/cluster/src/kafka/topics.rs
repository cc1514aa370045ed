//! Creates the two topics if they are missing, and checks them.

mod rules;

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic};
use rdkafka::admin::{ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};

use super::clients;
use super::doubts::{Claim, Doubts};
use super::error::{KafkaFailure, unavailable};
use super::events::ClientEvents;
use super::metadata::{DEADLINE, MetadataClient, TopicShape};
use super::settings::KafkaSettings;
use super::start_error::StartError;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// The pause between two checks whether a created topic is there.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A topic as Kafka describes it.
struct ExistingTopic {
    topic: String,
    shape: TopicShape,
    settings: HashMap<String, String>,
}

/// Both topics exist and have the required settings.
pub(super) struct PreparedTopics {
    /// What makes acknowledged messages less safe than they could be.
    pub warnings: Vec<String>,
    /// How long the log keeps a record; `None`: for ever.
    pub retention: Option<Duration>,
}

/// Creates missing topics, and checks the settings of both.
pub(super) async fn prepare(
    settings: &KafkaSettings,
    asker: &MetadataClient,
) -> Result<PreparedTopics, StartError> {
    let topics = TopicAdmin::new(settings, asker)?;
    let messages = topics.topic(&rules::messages(settings)).await?;
    let largest = rules::largest_batch(&messages, settings);
    let dead_letters = topics
        .topic(&rules::dead_letters(settings, largest))
        .await?;
    let mut faults = rules::check(&messages, &rules::messages(settings), settings);
    let wanted = rules::dead_letters(settings, largest);
    faults.extend(rules::check(&dead_letters, &wanted, settings));
    if faults.is_empty() {
        Ok(PreparedTopics {
            warnings: rules::warnings(&messages),
            retention: rules::retention(&messages),
        })
    } else {
        Err(StartError::Topics(faults))
    }
}

/// Creates the topic that names the installation if it is missing, and checks its settings.
pub(super) async fn prepare_installation(
    settings: &KafkaSettings,
    asker: &MetadataClient,
) -> Result<(), StartError> {
    let wanted = rules::installation(settings);
    let found = TopicAdmin::new(settings, asker)?.topic(&wanted).await?;
    let faults = rules::check(&found, &wanted, settings);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(StartError::Topics(faults))
    }
}

/// A change of the log's topic that forbids its use. `Unavailable` while one is not confirmed.
pub(super) fn changed(
    asker: &MetadataClient,
    doubts: &Doubts,
) -> Result<Option<String>, PortError> {
    let settings = asker.settings();
    let shape = asker.shape(&settings.messages_topic())?;
    changed_to(shape.map(|shape| shape.partitions), settings, doubts)
}

/// A number of partitions that forbids the topic's use; `None`: brokers say that the topic does not exist.
/// `Unavailable` while the change is not confirmed.
pub(super) fn changed_to(
    count: Option<usize>,
    settings: &KafkaSettings,
    doubts: &Doubts,
) -> Result<Option<String>, PortError> {
    let topic = settings.messages_topic();
    let change = match count {
        Some(count) => rules::wrong_count(&topic, count, settings).map(|fault| fault.to_string()),
        None => Some(deleted(&topic)),
    };
    let Some(change) = change else {
        doubts.clear(|claim| claim == Claim::TopicMissing);
        return Ok(None);
    };
    // A broker may not know yet what there is, but it knows of nothing that never was.
    let is_certain = count.is_some_and(|count| count > usize::from(settings.partitions));
    match is_certain || doubts.note(Claim::TopicMissing) {
        true => Ok(Some(change)),
        false => Err(doubts.unconfirmed(&change)),
    }
}

fn deleted(topic: &str) -> String {
    format!(
        "topic {topic} was deleted. What history has of it is safe; what was not archived is lost. Restart \
         lakechat: it creates the topic again, and says what else to do"
    )
}

/// The log holds a record with its producer's time stamp instead of the append time.
pub(super) fn not_stamped_by_log(
    settings: &KafkaSettings,
    partition: Partition,
    offset: Offset,
) -> String {
    let topic = settings.messages_topic();
    let command = rules::alter(settings, &topic, "message.timestamp.type", "LogAppendTime");
    let next = offset + 1;
    format!(
        "offset {offset} in partition {partition} of topic {topic} was not stamped by the log: \
         message.timestamp.type was changed. Set it back ({command}). Records that were written meanwhile can't \
         be read; `lakechat log adopt --skip {partition}:{next}` continues after them"
    )
}

struct TopicAdmin<'a> {
    asker: &'a MetadataClient,
    admin: AdminClient<ClientEvents>,
    events: ClientEvents,
}

impl<'a> TopicAdmin<'a> {
    fn new(
        settings: &KafkaSettings,
        asker: &'a MetadataClient,
    ) -> Result<TopicAdmin<'a>, KafkaError> {
        let events = ClientEvents::of("admin");
        Ok(TopicAdmin {
            asker,
            admin: clients::admin(settings).create_with_context(events.clone())?,
            events,
        })
    }

    async fn topic(&self, wanted: &rules::TopicSpec) -> Result<ExistingTopic, StartError> {
        let deadline = Instant::now() + DEADLINE;
        let mut is_created = false;
        let shape = loop {
            if let Some(shape) = self.asker.shape(&wanted.topic)? {
                break shape;
            }
            if Instant::now() >= deadline {
                let topic = &wanted.topic;
                return Err(StartError::Away(unavailable(format!(
                    "topic {topic} was created and does not appear"
                ))));
            }
            if is_created {
                sleep(RETRY_PAUSE).await;
            } else {
                self.create(wanted).await?;
                is_created = true;
            }
        };
        let settings = self.settings_of(&wanted.topic, deadline).await?;
        Ok(ExistingTopic {
            topic: wanted.topic.clone(),
            shape,
            settings,
        })
    }

    async fn create(&self, wanted: &rules::TopicSpec) -> Result<(), StartError> {
        // -1: the brokers' default.replication.factor.
        let replication = TopicReplication::Fixed(-1);
        let bare = NewTopic::new(&wanted.topic, wanted.partitions.into(), replication);
        let rules = wanted.rules.iter();
        let topic = rules.fold(bare, |topic, rule| {
            topic.set(rule.setting, &rule.created_with)
        });
        let answer = self.admin.create_topics([&topic], &options()).await;
        let created = answer.map_err(|error| self.failed("to create topics", error))?;
        match created.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(
                    topic = wanted.topic,
                    partitions = wanted.partitions,
                    "created a topic"
                );
                Ok(())
            }
            // Of several servers that start at once, one creates it. The checks that follow are the same.
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                tracing::info!(topic = wanted.topic, "another server created the topic");
                Ok(())
            }
            Some(Err((topic, code))) => Err(self.failed(
                &format!("to create topic {topic}"),
                KafkaError::AdminOp(code),
            )),
            None => Err(StartError::Away(unavailable(
                "no answer to the creation of a topic",
            ))),
        }
    }

    async fn settings_of(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<HashMap<String, String>, StartError> {
        let what = format!("to show the settings of topic {topic}");
        loop {
            let asked = [ResourceSpecifier::Topic(topic)];
            let answer = self.admin.describe_configs(&asked, &options()).await;
            let answer = answer.map_err(|error| self.failed(&what, error))?;
            match answer.into_iter().next() {
                Some(Ok(resource)) => return Ok(entries(resource)),
                // A broker that does not know the topic yet.
                Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition))
                    if Instant::now() < deadline =>
                {
                    sleep(RETRY_PAUSE).await;
                }
                Some(Err(code)) => return Err(self.failed(&what, KafkaError::AdminOp(code))),
                None => {
                    return Err(StartError::Away(unavailable(format!(
                        "no answer to the request {what}"
                    ))));
                }
            }
        }
    }

    fn failed(&self, what: &str, error: KafkaError) -> StartError {
        let failure = KafkaFailure::new(error, &self.events);
        match failure.code() {
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidConfig
                | RDKafkaErrorCode::InvalidReplicationFactor,
            ) => StartError::Refused {
                what: what.to_owned(),
                reason: failure.into(),
            },
            _ => StartError::Away(unavailable(failure.during(what))),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE))
}

fn entries(resource: ConfigResource) -> HashMap<String, String> {
    let entries = resource.entries.into_iter();
    entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect()
}
