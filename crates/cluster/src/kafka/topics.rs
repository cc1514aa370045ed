//! The log's two topics: created if they are missing, and checked at the start and while the server runs.

mod admin;
mod rules;
mod watch;

use super::doubts::{Claim, Doubts};
use super::metadata::MetadataClient;
use super::settings::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::Offset;

pub(super) use self::admin::TopicAdmin;
pub(super) use self::watch::TopicWatch;

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
