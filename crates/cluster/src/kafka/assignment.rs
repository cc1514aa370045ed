//! The partitions that this server archives: the servers' consumer group assigns them.
//!
//! The group's consumer reads no records. It assigns its partitions at the log's end, pauses them at
//! once, and polls on whatever happens elsewhere: a member that stops polling loses its partitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::watch;
use tracing::info_span;

use super::clients;
use super::events::ClientEvents;
use super::settings::KafkaSettings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;
use lakechat_core::threads::OwnedThread;

/// How long a poll waits. Offsets are committed, and `stop` is noticed, that often.
const POLL: Duration = Duration::from_millis(200);

/// This server's membership in the group. It begins with the first subscriber.
pub(super) struct Assignment {
    state: Arc<SharedState>,
    thread: Mutex<Option<OwnedThread>>,
}

struct SharedState {
    settings: Arc<KafkaSettings>,
    assigned: watch::Sender<Vec<Partition>>,
    /// The offset to commit, by partition.
    archived: Mutex<BTreeMap<Partition, Offset>>,
    stop: AtomicBool,
}

impl Assignment {
    pub fn new(settings: Arc<KafkaSettings>) -> Assignment {
        Assignment {
            state: Arc::new(SharedState {
                settings,
                assigned: watch::Sender::new(Vec::new()),
                archived: Mutex::default(),
                stop: AtomicBool::new(false),
            }),
            thread: Mutex::new(None),
        }
    }

    pub fn subscribe(&self) -> watch::Receiver<Vec<Partition>> {
        let receiver = self.state.assigned.subscribe();
        let mut thread = self.thread.lock().expect("nothing panics under it");
        if thread.is_none() {
            let state = Arc::clone(&self.state);
            match OwnedThread::restarting("kafka-claims", move || run(&state)) {
                Ok(started) => *thread = Some(started),
                // Other servers archive meanwhile; the next subscriber tries again.
                Err(error) => {
                    tracing::error!(%error, "can't start the thread of the archivers' group")
                }
            }
        }
        receiver
    }

    pub fn mark_archived(&self, partition: Partition, below: Offset) {
        self.state.archived().insert(partition, below);
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        self.state.stop.store(true, Relaxed);
    }
}

impl SharedState {
    fn archived(&self) -> MutexGuard<'_, BTreeMap<Partition, Offset>> {
        self.archived.lock().expect("nothing panics under it")
    }
}

/// A member of the group for as long as there are subscribers.
fn run(state: &Arc<SharedState>) {
    let group = state.settings.archiver_group();
    let _span = info_span!("kafka_assignment", group).entered();
    // After a panic: its unwinding left the group, which assigns the partitions to other servers.
    state
        .assigned
        .send_if_modified(|assigned| !std::mem::take(assigned).is_empty());
    while !state.stop.load(Relaxed) {
        if state.assigned.is_closed() {
            thread::park_timeout(POLL);
            continue;
        }
        match join_group(state) {
            // Dropping the consumer leaves the group, which assigns its partitions to others.
            Ok(consumer) => poll_until_unused(state, &consumer),
            Err(error) => {
                tracing::error!(%error, "can't join the archivers' group; retrying");
                thread::park_timeout(POLL);
            }
        }
    }
}

fn join_group(state: &Arc<SharedState>) -> KafkaResult<BaseConsumer<Member>> {
    let member = Member {
        events: ClientEvents::of("archiver"),
        topic: state.settings.messages_topic(),
        state: Arc::clone(state),
    };
    let consumer: BaseConsumer<Member> =
        clients::group_member(&state.settings).create_with_context(member)?;
    consumer.subscribe(&[&state.settings.messages_topic()])?;
    Ok(consumer)
}

fn poll_until_unused(state: &SharedState, consumer: &BaseConsumer<Member>) {
    while !state.stop.load(Relaxed) && !state.assigned.is_closed() {
        match consumer.poll(POLL) {
            None => {}
            // Fetched before the partition was paused.
            Some(Ok(record)) => drop(record),
            Some(Err(error)) => tracing::debug!(%error, "archivers' group: poll failed"),
        }
        consumer.context().commit(consumer);
    }
}

/// Handles the group's rebalances.
struct Member {
    events: ClientEvents,
    topic: String,
    state: Arc<SharedState>,
}

impl Member {
    /// Assigns partitions, so that the group counts them as taken, and pauses them.
    fn assign(
        &self,
        consumer: &BaseConsumer<Member>,
        list: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        list.set_all_offsets(rdkafka::Offset::End)?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list)?,
        }
        consumer.pause(list)
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Member>,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }

    /// Publishes the whole assignment: a rebalance lists only what changed.
    fn publish(&self, consumer: &BaseConsumer<Member>) {
        let mut assigned = match consumer.assignment() {
            Ok(list) => partitions(&list),
            // Archiving nothing is safe: a lagging partition alarms.
            Err(error) => {
                tracing::warn!(%error, "can't read this server's assignment; it archives nothing");
                Vec::new()
            }
        };
        assigned.sort_unstable();
        metrics::gauge!("lakechat_archive_claims").set(assigned.len() as f64);
        tracing::info!(partitions = ?assigned.iter().map(|p| p.0).collect::<Vec<_>>(), "partitions that this server archives");
        self.state.assigned.send_replace(assigned);
    }

    /// Commits the archived offsets of assigned partitions. Those of others are dropped: their member
    /// commits them.
    fn commit(&self, consumer: &BaseConsumer<Member>) {
        let assigned = self.state.assigned.borrow().clone();
        let mut archived = self.state.archived();
        archived.retain(|partition, _| assigned.contains(partition));
        if archived.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(archived.len());
        for (partition, offset) in std::mem::take(&mut *archived) {
            let offset = rdkafka::Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            let added = list.add_partition_offset(&self.topic, partition.0.into(), offset);
            added.expect("offsets from 0 on are valid");
        }
        drop(archived);
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            self.commit_callback(Err(error), &list);
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.events.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Member>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        };
        if let Err(error) = done {
            tracing::error!(%error, "can't apply a rebalance of the archivers' group");
        }
        self.publish(consumer);
    }

    /// A failed commit is repeated, unless a later offset was archived meanwhile.
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let Err(error) = result else { return };
        tracing::debug!(%error, "can't commit the archiver's offsets; retrying");
        let mut archived = self.state.archived();
        for element in offsets.elements() {
            let offset = element
                .offset()
                .to_raw()
                .and_then(|o| Offset::try_from(o).ok());
            let partition = u16::try_from(element.partition()).ok().map(Partition);
            if let (Some(partition), Some(offset)) = (partition, offset) {
                archived.entry(partition).or_insert(offset);
            }
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    let numbers = elements.iter().map(|element| element.partition());
    let partitions = numbers.filter_map(|number| u16::try_from(number).ok().map(Partition));
    partitions.collect()
}
