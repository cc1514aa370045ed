//! How the topics have to be, and what to tell an operator where they are not.

use std::time::Duration;

use super::super::settings::Settings;
use super::super::start_error::TopicFault;
use super::Found;

const DAY_MS: u64 = 86_400_000;
/// What was not stored for so long may be lost: the archive lags by hours at worst.
const KEPT_MS: u64 = 7 * DAY_MS;
const DEAD_LETTERS_KEPT_MS: u64 = 30 * DAY_MS;

/// Kafka's own limit of a batch, where that is enough.
const DEFAULT_BYTES: usize = 1_048_588;

/// What a dead letter's headers take beside the record.
const LETTER_BYTES: usize = 4_096;

/// What a batch takes beside what the producer counts.
const BATCH_BYTES: usize = 512;

/// Brokers that keep a record, and those that have it before it is acked, for a power cut to lose nothing.
const REPLICAS: usize = 3;
const IN_SYNC: u64 = 2;

/// A topic as it has to be.
pub(super) struct Wanted {
    pub topic: String,
    pub partitions: u16,
    /// Another count is a fault.
    pub exactly: bool,
    pub rules: Vec<Rule>,
}

/// One setting.
pub(super) struct Rule {
    pub setting: &'static str,
    pub made_with: String,
    has_to_be: HasToBe,
}

enum HasToBe {
    Exactly,
    AtLeast(u64),
    /// As many or -1, which is unlimited.
    AtLeastOrUnlimited(u64),
}

pub(super) fn messages(settings: &Settings) -> Wanted {
    let mut rules = kept(KEPT_MS, settings.batch_bytes() + BATCH_BYTES);
    rules.push(exactly("message.timestamp.type", "LogAppendTime"));
    Wanted {
        topic: settings.messages_topic(),
        partitions: settings.partitions,
        exactly: true,
        rules,
    }
}

/// `largest`: what the log takes at once, bytes.
pub(super) fn dead_letters(settings: &Settings, largest: usize) -> Wanted {
    Wanted {
        topic: settings.dead_letters_topic(),
        partitions: 1,
        exactly: false,
        rules: kept(DEAD_LETTERS_KEPT_MS, largest + LETTER_BYTES),
    }
}

/// How long the log keeps a record; none: for ever.
pub(super) fn retention(messages: &Found) -> Option<Duration> {
    let kept = messages.settings.get("retention.ms")?;
    kept.parse().ok().map(Duration::from_millis)
}

/// The largest batch that somebody may write into the log, bytes, also after it was altered as told.
pub(super) fn largest_batch(messages: &Found, settings: &Settings) -> usize {
    let limit = messages.settings.get("max.message.bytes");
    let limit = limit.and_then(|text| text.parse().ok());
    let made_with = DEFAULT_BYTES.max(settings.batch_bytes() + BATCH_BYTES);
    limit.unwrap_or(0).max(made_with)
}

fn kept(kept_ms: u64, largest: usize) -> Vec<Rule> {
    let made_with = largest.max(DEFAULT_BYTES);
    vec![
        exactly("cleanup.policy", "delete"),
        Rule {
            setting: "retention.ms",
            made_with: kept_ms.to_string(),
            has_to_be: HasToBe::AtLeastOrUnlimited(kept_ms),
        },
        exactly("retention.bytes", "-1"),
        Rule {
            setting: "max.message.bytes",
            made_with: made_with.to_string(),
            has_to_be: HasToBe::AtLeast(largest as u64),
        },
    ]
}

fn exactly(setting: &'static str, value: &str) -> Rule {
    Rule {
        setting,
        made_with: value.to_owned(),
        has_to_be: HasToBe::Exactly,
    }
}

impl Rule {
    fn allows(&self, value: &str) -> bool {
        let number = value.parse::<u64>();
        match self.has_to_be {
            HasToBe::Exactly => value == self.made_with,
            HasToBe::AtLeast(least) => number.is_ok_and(|n| n >= least),
            HasToBe::AtLeastOrUnlimited(least) => value == "-1" || number.is_ok_and(|n| n >= least),
        }
    }

    fn allowed(&self) -> String {
        match self.has_to_be {
            HasToBe::Exactly => self.made_with.clone(),
            HasToBe::AtLeast(least) => format!("at least {least}"),
            HasToBe::AtLeastOrUnlimited(least) => format!("at least {least}, or -1"),
        }
    }
}

/// Everything about a topic that has to be otherwise.
pub(super) fn check(found: &Found, wanted: &Wanted, settings: &Settings) -> Vec<TopicFault> {
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
        let command = alter(settings, &found.topic, rule.setting, &rule.made_with);
        faults.push(TopicFault {
            topic: found.topic.clone(),
            setting: rule.setting,
            is: is.cloned().unwrap_or_else(|| "not shown".to_owned()),
            has_to_be: rule.allowed(),
            remedy: command,
        });
    }
    faults
}

/// A count of partitions that would put channels elsewhere than they were.
pub(super) fn wrong_count(topic: &str, count: usize, settings: &Settings) -> Option<TopicFault> {
    let wanted = usize::from(settings.partitions);
    if count == wanted {
        return None;
    }
    let tool = format!("kafka-topics.sh --bootstrap-server {}", settings.brokers);
    let anew =
        format!("if nothing is in it, delete it and start again ({tool} --delete --topic {topic})");
    let remedy = if count < wanted {
        format!(
            "if this log was made with {wanted}, add the rest ({tool} --alter --topic {topic} \
             --partitions {wanted}); {anew}, or set chat.partitions to {count}"
        )
    } else {
        format!(
            "partitions can't be taken away again, and channels would change their order: {anew}, or \
             set chat.partitions to {count} if the log was made with that"
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
pub(super) fn alter(settings: &Settings, topic: &str, setting: &str, value: &str) -> String {
    let brokers = &settings.brokers;
    format!(
        "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name \
         {topic} --add-config {setting}={value}"
    )
}

/// What makes an acked message less safe than it could be.
pub(super) fn warnings(messages: &Found) -> Vec<String> {
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
