//! The two topics: made when they are missing, checked when they are there.

mod rules;

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic};
use rdkafka::admin::{ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};

use super::clients;
use super::error::told;
use super::events::Heard;
use super::metadata::{Asker, DEADLINE, Shape};
use super::settings::Settings;
use super::start_error::StartError;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

/// Between two looks whether a topic that was made is there.
const LOOK: Duration = Duration::from_millis(50);

/// A topic as it was found.
struct Found {
    topic: String,
    shape: Shape,
    settings: HashMap<String, String>,
}

/// Topics that are there and as they have to be.
pub(super) struct Prepared {
    /// What they lack for all promises to hold.
    pub warnings: Vec<String>,
    /// How long the log keeps a record; none: for ever.
    pub kept: Option<Duration>,
}

/// Sees to it that both topics are there and as they have to be.
pub(super) async fn prepare(settings: &Settings, asker: &Asker) -> Result<Prepared, StartError> {
    let heard = Heard::by("admin");
    let admin: AdminClient<Heard> = clients::admin(settings).create_with_context(heard.clone())?;
    let making = Making {
        asker,
        admin,
        heard,
    };
    let messages = making.topic(&rules::messages(settings)).await?;
    let largest = rules::largest_batch(&messages, settings);
    let dead_letters = making
        .topic(&rules::dead_letters(settings, largest))
        .await?;
    let mut faults = rules::check(&messages, &rules::messages(settings), settings);
    let wanted = rules::dead_letters(settings, largest);
    faults.extend(rules::check(&dead_letters, &wanted, settings));
    if faults.is_empty() {
        Ok(Prepared {
            warnings: rules::warnings(&messages),
            kept: rules::retention(&messages),
        })
    } else {
        Err(StartError::Topics(faults))
    }
}

/// What changed about the log's topic while the server runs, if that forbids to use it.
pub(super) fn changed(asker: &Asker) -> Result<Option<String>, PortError> {
    let settings = asker.settings();
    let shape = asker.shape(&settings.messages_topic())?;
    Ok(changed_to(shape.map(|shape| shape.partitions), settings))
}

/// What a count of partitions forbids; none: there is no topic.
pub(super) fn changed_to(count: Option<usize>, settings: &Settings) -> Option<String> {
    let topic = settings.messages_topic();
    match count {
        Some(count) => rules::wrong_count(&topic, count, settings).map(|fault| fault.to_string()),
        None => Some(deleted(&topic)),
    }
}

fn deleted(topic: &str) -> String {
    format!(
        "topic {topic} was deleted. What history has of it is safe; what was not stored is lost. Start \
         lakechat again: it makes the topic anew, and tells what else is to be done"
    )
}

/// A record whose stamp is its sender's and not the log's.
pub(super) fn not_append_time(settings: &Settings, partition: Partition, offset: Offset) -> String {
    let topic = settings.messages_topic();
    let command = rules::alter(settings, &topic, "message.timestamp.type", "LogAppendTime");
    let next = offset + 1;
    format!(
        "offset {offset} in partition {partition} of topic {topic} was not stamped by the log: \
         message.timestamp.type was changed. Set it back ({command}); what was written meanwhile can't \
         be read, and `lakechat log adopt --skip {partition}:{next}` goes on behind it"
    )
}

struct Making<'a> {
    asker: &'a Asker,
    admin: AdminClient<Heard>,
    heard: Heard,
}

impl Making<'_> {
    async fn topic(&self, wanted: &rules::Wanted) -> Result<Found, StartError> {
        let deadline = Instant::now() + DEADLINE;
        let mut made = false;
        let shape = loop {
            if let Some(shape) = self.asker.shape(&wanted.topic)? {
                break shape;
            }
            if Instant::now() >= deadline {
                let topic = &wanted.topic;
                return Err(StartError::Away(format!(
                    "topic {topic} was made and is not there"
                )));
            }
            if made {
                sleep(LOOK).await;
            } else {
                self.make(wanted).await?;
                made = true;
            }
        };
        let settings = self.settings_of(&wanted.topic, deadline).await?;
        Ok(Found {
            topic: wanted.topic.clone(),
            shape,
            settings,
        })
    }

    async fn make(&self, wanted: &rules::Wanted) -> Result<(), StartError> {
        // As many copies as the brokers are set to make.
        let replication = TopicReplication::Fixed(-1);
        let topic = NewTopic::new(&wanted.topic, wanted.partitions.into(), replication);
        let rules = wanted.rules.iter();
        let topic = rules.fold(topic, |topic, rule| {
            topic.set(rule.setting, &rule.made_with)
        });
        let made = self.admin.create_topics([&topic], &options()).await;
        let made = made.map_err(|error| self.failed("the making of topics", &error))?;
        match made.into_iter().next() {
            // Two servers that start at once: one makes it.
            Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                tracing::info!(
                    topic = wanted.topic,
                    partitions = wanted.partitions,
                    "topic made"
                );
                Ok(())
            }
            Some(Err((topic, code))) => Err(self.failed(
                &format!("the making of topic {topic}"),
                &KafkaError::AdminOp(code),
            )),
            None => Err(StartError::Away(
                "no answer on the making of a topic".into(),
            )),
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
            let answer = answer.map_err(|error| self.failed(&what, &error))?;
            match answer.into_iter().next() {
                Some(Ok(resource)) => return Ok(entries(resource)),
                // A broker that has not heard of it yet.
                Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition))
                    if Instant::now() < deadline =>
                {
                    sleep(LOOK).await;
                }
                Some(Err(code)) => return Err(self.failed(&what, &KafkaError::AdminOp(code))),
                None => return Err(StartError::Away(format!("no answer on {what}"))),
            }
        }
    }

    fn failed(&self, what: &str, error: &KafkaError) -> StartError {
        let reason = told(error, &self.heard);
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidConfig
                | RDKafkaErrorCode::InvalidReplicationFactor,
            ) => StartError::Refused {
                what: what.to_owned(),
                reason,
            },
            _ => StartError::Away(format!("{what}: {reason}")),
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
