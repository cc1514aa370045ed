//! Which partitions are this server's to store: the servers' consumer group shares them out.
//!
//! The group's consumer reads nothing. It assigns what it is given at the log's end, pauses it at
//! once, and goes on polling whatever happens elsewhere: who stops polling loses its partitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::watch;

use super::clients;
use super::events::Heard;
use super::settings::Settings;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::Offset;

/// How long a poll waits: as often offsets are committed, and the end is noticed.
const POLL: Duration = Duration::from_millis(200);

/// This server's part in the group; begins with the first subscriber.
pub(super) struct Claims {
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    settings: Arc<Settings>,
    claimed: watch::Sender<Vec<Partition>>,
    /// Offsets to be committed, one a partition: the newest replaces those before.
    stored: Mutex<BTreeMap<Partition, Offset>>,
    stop: AtomicBool,
}

impl Claims {
    pub fn new(settings: Arc<Settings>) -> Claims {
        Claims {
            state: Arc::new(State {
                settings,
                claimed: watch::Sender::new(Vec::new()),
                stored: Mutex::default(),
                stop: AtomicBool::new(false),
            }),
            thread: Mutex::new(None),
        }
    }

    pub fn subscribe(&self) -> watch::Receiver<Vec<Partition>> {
        let receiver = self.state.claimed.subscribe();
        let mut thread = self.thread.lock().expect("nothing panics under it");
        if thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let state = Arc::clone(&self.state);
            let begun = thread::Builder::new()
                .name("kafka-claims".into())
                .spawn(move || run(&state));
            match begun {
                Ok(begun) => *thread = Some(begun),
                // Others store what this server does not; the next subscriber tries again.
                Err(error) => tracing::error!(%error, "no thread to claim partitions with"),
            }
        }
        receiver
    }

    pub fn mark_archived(&self, partition: Partition, below: Offset) {
        self.state.stored().insert(partition, below);
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.state.stop.store(true, Relaxed);
        let thread = self.thread.lock().expect("nothing panics under it").take();
        if let Some(thread) = thread {
            // After a panic there is no member to leave the group.
            let _ = thread.join();
        }
    }
}

impl State {
    fn stored(&self) -> MutexGuard<'_, BTreeMap<Partition, Offset>> {
        self.stored.lock().expect("nothing panics under it")
    }
}

/// A member for as long as somebody wants to know.
fn run(state: &Arc<State>) {
    while !state.stop.load(Relaxed) {
        if state.claimed.is_closed() {
            thread::park_timeout(POLL);
            continue;
        }
        match member(state) {
            // Dropping it leaves the group, and so gives up what was claimed.
            Ok(member) => stay(state, &member),
            Err(error) => {
                tracing::error!(%error, "this server can't claim partitions; trying again");
                thread::park_timeout(POLL);
            }
        }
    }
}

fn member(state: &Arc<State>) -> KafkaResult<BaseConsumer<Member>> {
    let member = Member {
        heard: Heard::by("archiver"),
        topic: state.settings.messages_topic(),
        state: Arc::clone(state),
    };
    let consumer: BaseConsumer<Member> =
        clients::claimant(&state.settings).create_with_context(member)?;
    consumer.subscribe(&[&state.settings.messages_topic()])?;
    Ok(consumer)
}

fn stay(state: &State, consumer: &BaseConsumer<Member>) {
    while !state.stop.load(Relaxed) && !state.claimed.is_closed() {
        match consumer.poll(POLL) {
            None => {}
            // It was on its way before the pause.
            Some(Ok(record)) => drop(record),
            Some(Err(error)) => tracing::debug!(%error, "the group of those who store"),
        }
        consumer.context().commit(consumer);
    }
}

/// What the group tells this server.
struct Member {
    heard: Heard,
    topic: String,
    state: Arc<State>,
}

impl Member {
    fn take(
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

    fn give_up(
        &self,
        consumer: &BaseConsumer<Member>,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }

    /// Tells what is assigned as librdkafka has it.
    fn tell(&self, consumer: &BaseConsumer<Member>) {
        let claimed = consumer.assignment().map(|list| partitions(&list));
        let mut claimed = claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "what this server has to store is not known");
            Vec::new()
        });
        claimed.sort_unstable();
        metrics::gauge!("lakechat_archive_claims").set(claimed.len() as f64);
        tracing::info!(partitions = ?claimed.iter().map(|p| p.0).collect::<Vec<_>>(), "partitions to store");
        self.state.claimed.send_replace(claimed);
    }

    /// Commits what was stored of the partitions that are this server's.
    fn commit(&self, consumer: &BaseConsumer<Member>) {
        let claimed = self.state.claimed.borrow().clone();
        let mut stored = self.state.stored();
        stored.retain(|partition, _| claimed.contains(partition));
        if stored.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(stored.len());
        for (partition, offset) in std::mem::take(&mut *stored) {
            let offset = rdkafka::Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            let added = list.add_partition_offset(&self.topic, partition.0.into(), offset);
            added.expect("an offset from 0 on can be represented");
        }
        drop(stored);
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            self.commit_callback(Err(error), &list);
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.heard.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.error(error, reason);
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
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.take(consumer, list),
            _ => self.give_up(consumer, list),
        };
        if let Err(error) = done {
            tracing::error!(%error, "the group's word on who stores what can't be followed");
        }
        self.tell(consumer);
    }

    /// What could not be committed is tried again, unless more was stored meanwhile.
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let Err(error) = result else { return };
        tracing::debug!(%error, "the archiver's offsets were not committed");
        let mut stored = self.state.stored();
        for element in offsets.elements() {
            let offset = element
                .offset()
                .to_raw()
                .and_then(|o| Offset::try_from(o).ok());
            let partition = u16::try_from(element.partition()).ok().map(Partition);
            if let (Some(partition), Some(offset)) = (partition, offset) {
                stored.entry(partition).or_insert(offset);
            }
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    let partitions = elements.iter();
    let partitions = partitions.filter_map(|e| u16::try_from(e.partition()).ok().map(Partition));
    partitions.collect()
}
