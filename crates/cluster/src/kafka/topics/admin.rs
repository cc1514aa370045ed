//! Creates the topics, and reads their settings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic};
use rdkafka::admin::{ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};

use super::super::clients;
use super::super::error::{KafkaFailure, unavailable};
use super::super::events::ClientEvents;
use super::super::metadata::{DEADLINE, MetadataClient};
use super::super::settings::KafkaSettings;
use super::super::start_error::{StartError, TopicFault};
use super::rules::{self, ExistingTopic};

/// The pause between two checks whether a created topic is there.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Both topics, measured by what lakechat needs.
#[derive(Default)]
pub(in super::super) struct TopicState {
    /// Settings that have to be changed.
    pub faults: Vec<TopicFault>,
    /// What makes acknowledged messages less safe than they could be: a sentence each.
    pub warnings: Vec<String>,
    /// How long the log keeps a record; `None`: for ever.
    pub retention: Option<Duration>,
}

/// Its calls block for some seconds at worst, though they are async.
pub(in super::super) struct TopicAdmin {
    settings: Arc<KafkaSettings>,
    admin: AdminClient<ClientEvents>,
    events: ClientEvents,
    /// Describes topics. If the admin client did, brokers that create topics by themselves
    /// (`auto.create.topics.enable`, Kafka's default) would create each missing one, with their own
    /// number of partitions: to librdkafka it is a producer, and only consumers can ask them not to.
    asker: MetadataClient,
}

impl TopicAdmin {
    pub fn new(settings: &Arc<KafkaSettings>) -> Result<TopicAdmin, KafkaError> {
        let events = ClientEvents::of("admin");
        Ok(TopicAdmin {
            admin: clients::admin(settings).create_with_context(events.clone())?,
            events,
            asker: MetadataClient::new(settings)?,
            settings: Arc::clone(settings),
        })
    }

    /// Creates missing topics, and describes both.
    pub async fn prepare(&self) -> Result<TopicState, StartError> {
        let messages = self.topic(&rules::messages(&self.settings)).await?;
        let largest = rules::largest_batch(&messages, &self.settings);
        let wanted = rules::dead_letters(&self.settings, largest);
        let dead_letters = self.topic(&wanted).await?;
        Ok(self.measure(&messages, &dead_letters))
    }

    /// Describes both topics, without creating one.
    pub async fn describe(&self) -> Result<TopicState, StartError> {
        let messages = self.existing(&self.settings.messages_topic()).await?;
        let dead_letters = self.existing(&self.settings.dead_letters_topic()).await?;
        Ok(self.measure(&messages, &dead_letters))
    }

    /// Creates the topic that names the installation if it is missing, and checks its settings.
    pub async fn prepare_installation(&self) -> Result<(), StartError> {
        let wanted = rules::installation(&self.settings);
        let found = self.topic(&wanted).await?;
        let faults = rules::check(&found, &wanted, &self.settings);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(StartError::Topics(faults))
        }
    }

    fn measure(&self, messages: &ExistingTopic, dead_letters: &ExistingTopic) -> TopicState {
        let settings = &self.settings;
        let largest = rules::largest_batch(messages, settings);
        let mut faults = rules::check(messages, &rules::messages(settings), settings);
        let wanted = rules::dead_letters(settings, largest);
        faults.extend(rules::check(dead_letters, &wanted, settings));
        TopicState {
            faults,
            warnings: rules::warnings(messages),
            retention: rules::retention(messages),
        }
    }

    async fn existing(&self, topic: &str) -> Result<ExistingTopic, StartError> {
        let missing = || StartError::Away(unavailable(format!("topic {topic} does not exist")));
        Ok(ExistingTopic {
            topic: topic.to_owned(),
            shape: self.asker.shape(topic)?.ok_or_else(missing)?,
            settings: self.settings_of(topic, Instant::now()).await?,
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
                Some(Ok(resource)) if !resource.entries.is_empty() => {
                    return Ok(entries(resource));
                }
                // A broker that does not know the topic yet says so, or shows nothing of it.
                Some(Ok(_) | Err(RDKafkaErrorCode::UnknownTopicOrPartition))
                    if Instant::now() < deadline =>
                {
                    sleep(RETRY_PAUSE).await;
                }
                Some(Ok(_)) => {
                    return Err(StartError::Away(unavailable(format!(
                        "Kafka shows no settings of topic {topic}"
                    ))));
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
