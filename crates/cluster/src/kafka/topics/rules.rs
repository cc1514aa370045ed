//! The required settings of the topics, and the advice for an operator where they differ.

use std::collections::HashMap;
use std::time::Duration;

use super::super::metadata::TopicShape;
use super::super::settings::KafkaSettings;
use super::super::start_error::TopicFault;

const DAY_MS: u64 = 86_400_000;
/// Records that are not archived within this time are lost. The archive lags by hours at worst.
const RETENTION_MS: u64 = 7 * DAY_MS;
const DEAD_LETTERS_RETENTION_MS: u64 = 30 * DAY_MS;

/// Kafka's default of max.message.bytes, used where it is enough.
const DEFAULT_BYTES: usize = 1_048_588;

/// What the headers of a dead letter take beside the record.
const LETTER_BYTES: usize = 4_096;

/// What a batch takes beside what the producer counts.
const BATCH_BYTES: usize = 512;

/// Replicas of a record, and those that have it before it is acknowledged, so that a power cut loses
/// nothing.
const REPLICAS: usize = 3;
const IN_SYNC: u64 = 2;

/// A topic as Kafka describes it.
pub(super) struct ExistingTopic {
    pub topic: String,
    pub shape: TopicShape,
    pub settings: HashMap<String, String>,
}

/// A topic as it has to be.
pub(super) struct TopicSpec {
    pub topic: String,
    pub partitions: u16,
    /// Whether another number of partitions is a fault.
    pub exactly: bool,
    pub rules: Vec<SettingRule>,
}

/// A setting of a topic: the value it is created with, and the values that are allowed.
pub(super) struct SettingRule {
    pub setting: &'static str,
    pub created_with: String,
    requirement: Requirement,
}

enum Requirement {
    Exactly,
    AtLeast(u64),
    /// Or -1, which is unlimited.
    AtLeastOrUnlimited(u64),
}

pub(super) fn messages(settings: &KafkaSettings) -> TopicSpec {
    let mut rules = retained(RETENTION_MS, settings.batch_bytes() + BATCH_BYTES);
    rules.push(exactly("message.timestamp.type", "LogAppendTime"));
    TopicSpec {
        topic: settings.messages_topic(),
        partitions: settings.partitions,
        exactly: true,
        rules,
    }
}

/// `largest` is the size of the log's largest batch, in bytes.
pub(super) fn dead_letters(settings: &KafkaSettings, largest: usize) -> TopicSpec {
    TopicSpec {
        topic: settings.dead_letters_topic(),
        partitions: 1,
        exactly: false,
        rules: retained(DEAD_LETTERS_RETENTION_MS, largest + LETTER_BYTES),
    }
}

/// Its first record decides, so none may ever go.
pub(super) fn installation(settings: &KafkaSettings) -> TopicSpec {
    TopicSpec {
        topic: settings.installation_topic(),
        partitions: 1,
        exactly: false,
        rules: vec![
            exactly("cleanup.policy", "delete"),
            exactly("retention.ms", "-1"),
            exactly("retention.bytes", "-1"),
        ],
    }
}

/// How long the log keeps a record; `None`: for ever.
pub(super) fn retention(messages: &ExistingTopic) -> Option<Duration> {
    let kept = messages.settings.get("retention.ms")?;
    kept.parse().ok().map(Duration::from_millis)
}

/// The size in bytes of the largest batch that the log accepts, also after an operator has followed the
/// advice.
pub(super) fn largest_batch(messages: &ExistingTopic, settings: &KafkaSettings) -> usize {
    let limit = messages.settings.get("max.message.bytes");
    let limit = limit.and_then(|text| text.parse().ok());
    let created_with = DEFAULT_BYTES.max(settings.batch_bytes() + BATCH_BYTES);
    limit.unwrap_or(0).max(created_with)
}

fn retained(retention_ms: u64, largest: usize) -> Vec<SettingRule> {
    let created_with = largest.max(DEFAULT_BYTES);
    vec![
        exactly("cleanup.policy", "delete"),
        SettingRule {
            setting: "retention.ms",
            created_with: retention_ms.to_string(),
            requirement: Requirement::AtLeastOrUnlimited(retention_ms),
        },
        exactly("retention.bytes", "-1"),
        SettingRule {
            setting: "max.message.bytes",
            created_with: created_with.to_string(),
            requirement: Requirement::AtLeast(largest as u64),
        },
    ]
}

fn exactly(setting: &'static str, value: &str) -> SettingRule {
    SettingRule {
        setting,
        created_with: value.to_owned(),
        requirement: Requirement::Exactly,
    }
}

impl SettingRule {
    fn allows(&self, value: &str) -> bool {
        let number = value.parse::<u64>();
        match self.requirement {
            Requirement::Exactly => value == self.created_with,
            Requirement::AtLeast(least) => number.is_ok_and(|n| n >= least),
            Requirement::AtLeastOrUnlimited(least) => {
                value == "-1" || number.is_ok_and(|n| n >= least)
            }
        }
    }

    fn allowed(&self) -> String {
        match self.requirement {
            Requirement::Exactly => self.created_with.clone(),
            Requirement::AtLeast(least) => format!("at least {least}"),
            Requirement::AtLeastOrUnlimited(least) => format!("at least {least}, or -1"),
        }
    }
}

/// All settings of a topic that have to be changed.
pub(super) fn check(
    found: &ExistingTopic,
    wanted: &TopicSpec,
    settings: &KafkaSettings,
) -> Vec<TopicFault> {
    let count = wanted.exactly.then(|| {
        let count = found.shape.partitions;
        wrong_count(&found.topic, count, settings)
    });
    let mut faults: Vec<TopicFault> = count.flatten().into_iter().collect();
    for rule in &wanted.rules {
        let is = found.settings.get(rule.setting);
        if is.is_some_and(|value| rule.allows(value)) {
            continue;
        }
        let command = alter(settings, &found.topic, rule.setting, &rule.created_with);
        faults.push(TopicFault {
            topic: found.topic.clone(),
            setting: rule.setting,
            is: is.cloned().unwrap_or_else(|| "not known".to_owned()),
            has_to_be: rule.allowed(),
            remedy: command,
        });
    }
    faults
}

/// A number of partitions that would move channels to other partitions.
pub(super) fn wrong_count(
    topic: &str,
    count: usize,
    settings: &KafkaSettings,
) -> Option<TopicFault> {
    let wanted = usize::from(settings.partitions);
    if count == wanted {
        return None;
    }
    let tool = format!("kafka-topics.sh --bootstrap-server {}", settings.brokers);
    let anew =
        format!("if nothing is in it, delete it and restart ({tool} --delete --topic {topic})");
    let remedy = if count < wanted {
        format!(
            "if this log was created with {wanted}, add the rest ({tool} --alter --topic {topic} \
             --partitions {wanted}); {anew}, or set chat.partitions to {count}"
        )
    } else {
        format!(
            "partitions can't be removed, and channels would move to other partitions: {anew}, or \
             set chat.partitions to {count} if the log was created with that"
        )
    };
    Some(TopicFault {
        topic: topic.to_owned(),
        setting: "the number of partitions",
        is: count.to_string(),
        has_to_be: wanted.to_string(),
        remedy,
    })
}

/// The command that changes a setting.
pub(super) fn alter(settings: &KafkaSettings, topic: &str, setting: &str, value: &str) -> String {
    let brokers = &settings.brokers;
    format!(
        "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name \
         {topic} --add-config {setting}={value}"
    )
}

/// What makes acknowledged messages less safe than they could be: a sentence each.
pub(super) fn warnings(messages: &ExistingTopic) -> Vec<String> {
    let topic = &messages.topic;
    let setting = |name: &str| messages.settings.get(name).map_or("", String::as_str);
    let mut warnings = Vec::new();
    let replicas = messages.shape.replicas;
    if replicas < REPLICAS {
        warnings.push(format!(
            "topic {topic} has {replicas} replica(s): a power cut or a lost disk may lose acked messages; \
             {REPLICAS} keep them (kafka-reassign-partitions.sh)"
        ));
    }
    let in_sync = setting("min.insync.replicas");
    if in_sync.parse().is_ok_and(|n: u64| n < IN_SYNC) {
        warnings.push(format!(
            "topic {topic} has min.insync.replicas={in_sync}: a message may be acked when one broker has \
             it; {IN_SYNC} are safe"
        ));
    }
    if setting("unclean.leader.election.enable") == "true" {
        warnings.push(format!(
            "topic {topic} has unclean.leader.election.enable=true: a broker that lags may take over, and \
             acked messages are lost"
        ));
    }
    warnings
}
