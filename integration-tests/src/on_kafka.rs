//! The log in Kafka under test, with the embedded back ends for the rest. Every test has topics of its
//! own, which go with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lakechat_cluster::kafka::{KafkaBroker, KafkaSettings, OwnerTopic};
use lakechat_cluster::owner::Place;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, LogRecord, Offset};
use lakechat_core::ports::{Broker, Directory, FileStore, History};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Message, TopicPartitionList};

use crate::contract::place::PlaceBackend;
use crate::contract::{Backend, DEADLINE, random};
use crate::on_disk::{self, OnDisk};
use crate::stack;

/// Where `integration-tests/stack` has it.
pub const BROKERS: &str = "127.0.0.1:9092";

/// The second Kafka, of three brokers, which does not always run.
pub const THREE_BROKERS: &str = "127.0.0.1:9192,127.0.0.1:9292,127.0.0.1:9392";

const PARTITIONS: u16 = 8;

pub struct OnKafka {
    pub broker: Arc<KafkaBroker>,
    pub topics: Topics,
    others: OnDisk,
}

/// A log that nobody has used, in topics of its own.
pub async fn fresh() -> Result<OnKafka> {
    let topics = Topics::new();
    Ok(OnKafka {
        broker: Arc::new(connect(topics.settings()).await?),
        topics,
        others: on_disk::fresh().await?,
    })
}

pub async fn connect(settings: KafkaSettings) -> Result<KafkaBroker> {
    stack::needs(&[BROKERS])?;
    Ok(KafkaBroker::connect(settings).await?)
}

/// The names of a test's topics; dropping it deletes them.
pub struct Topics {
    prefix: String,
    brokers: &'static str,
}

impl Topics {
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Topics {
        Topics::of(BROKERS)
    }

    pub fn of(brokers: &'static str) -> Topics {
        Topics {
            prefix: format!("test-{}", random()),
            brokers,
        }
    }

    pub fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            brokers: self.brokers.into(),
            topic_prefix: self.prefix.clone(),
            partitions: PARTITIONS,
            record_bytes: 100_000,
            queue_bytes: 16 << 20,
            fetch_bytes: 16 << 20,
            believe_after: Duration::from_secs(1),
            options: BTreeMap::new(),
        }
    }

    pub fn messages(&self) -> String {
        self.settings().messages_topic()
    }

    pub fn installation(&self) -> String {
        self.settings().installation_topic()
    }

    pub fn dead_letters(&self) -> String {
        self.settings().dead_letters_topic()
    }
}

impl Drop for Topics {
    /// Runtimes don't nest: it has a thread of its own.
    fn drop(&mut self) {
        let (topics, group) = (
            [self.messages(), self.dead_letters(), self.installation()],
            self.settings().archiver_group(),
        );
        let brokers = self.brokers;
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let admin = admin_of(brokers)?;
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                admin.delete_topics(&topics, &options()).await?;
                admin.delete_groups(&[&group], &options()).await?;
                anyhow::Ok(())
            })
        });
        if let Ok(Err(error)) = deleting.join() {
            eprintln!("topics {}.* are left behind: {error}", self.prefix);
        }
    }
}

pub fn admin() -> Result<AdminClient<DefaultClientContext>> {
    stack::needs(&[BROKERS])?;
    admin_of(BROKERS)
}

fn admin_of(brokers: &str) -> Result<AdminClient<DefaultClientContext>> {
    let config = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .clone();
    Ok(config.create()?)
}

/// How many copies are in sync, of the partition that has the fewest.
pub async fn copies_in_sync(brokers: &str, topic: &str) -> Result<usize> {
    let (admin, topic) = (admin_of(brokers)?, topic.to_owned());
    let asking = move || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), DEADLINE)?;
        let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
        let fewest = partitions.map(|partition| partition.isr().len()).min();
        anyhow::Ok(fewest.unwrap_or(0))
    };
    tokio::task::spawn_blocking(asking).await?
}

pub fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(DEADLINE))
}

/// What the log's topic is made with, unless a test wants it otherwise.
pub const GOOD: [(&str, &str); 4] = [
    ("cleanup.policy", "delete"),
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.ms", "604800000"),
    ("retention.bytes", "-1"),
];

pub async fn make(topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let new = settings
        .iter()
        .fold(new, |new, (key, value)| new.set(key, value));
    let made = admin()?.create_topics([&new], &options()).await?;
    let made = made.into_iter().next().context("one answer")?;
    made.map(drop)
        .map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))
}

/// `GOOD` with one setting changed.
pub fn with<'a>(setting: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = GOOD.into_iter().filter(|(s, _)| *s != setting);
    others.chain([(setting, value)]).collect()
}

/// Writes a record as anybody could, into the partition that Java's clients would choose for its key.
pub async fn write(topic: &str, key: &str, value: &str) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .set("partitioner", "murmur2")
        .create()?;
    let record = FutureRecord::to(topic).key(key).payload(value);
    let written = producer.send(record, DEADLINE).await;
    written.map_err(|(error, _)| error)?;
    Ok(())
}

/// Writes a record into each of these partitions as one transaction, and commits it: a marker, which takes
/// an offset, follows each record. Returns when the markers are there.
pub async fn write_transaction(topic: &str, partitions: &[Partition]) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .set("transactional.id", random())
        .create()?;
    let begun = producer.clone();
    let beginning = move || {
        begun.init_transactions(DEADLINE)?;
        begun.begin_transaction()
    };
    tokio::task::spawn_blocking(beginning).await??;
    let mut last = Vec::new();
    for partition in partitions {
        let record = FutureRecord::to(topic)
            .partition(partition.0.into())
            .key("by somebody")
            .payload("else");
        let written = producer.send(record, DEADLINE).await;
        let written = written.map_err(|(error, _)| error)?;
        last.push((written.partition, written.offset));
    }
    let topic = topic.to_owned();
    let committing = move || {
        producer.commit_transaction(DEADLINE)?;
        let begun = Instant::now();
        for (partition, offset) in last {
            let end = || {
                producer
                    .client()
                    .fetch_watermarks(&topic, partition, DEADLINE)
            };
            while end()?.1 <= offset + 1 {
                ensure!(begun.elapsed() < DEADLINE, "no marker follows {offset}");
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(committing).await?
}

/// Makes the log forget records below an offset, as retention would.
pub async fn delete_below(topic: &str, partition: Partition, offset: Offset) -> Result<()> {
    let mut list = TopicPartitionList::new();
    let below = rdkafka::Offset::Offset(i64::try_from(offset)?);
    list.add_partition_offset(topic, partition.0.into(), below)?;
    let deleted = admin()?.delete_records(&list, &options()).await?;
    let elements = deleted.elements();
    elements.iter().try_for_each(|element| Ok(element.error()?))
}

/// Reads a topic of one partition from its beginning until so many records were read.
pub fn read_all(topic: &str, count: usize) -> Result<Vec<DeadLetter>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .set("group.id", "test")
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning)?;
    consumer.assign(&list)?;
    let mut found = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while found.len() < count {
        ensure!(Instant::now() < deadline, "read {} of {count}", found.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            found.push(letter(&message?)?);
        }
    }
    Ok(found)
}

fn letter(message: &BorrowedMessage<'_>) -> Result<DeadLetter> {
    let headers = message.headers().context("a letter has headers")?;
    let text = |name: &str| {
        let header = headers.iter().find(|h| h.key == name);
        let value = header.and_then(|h| h.value).context("a header")?;
        Ok::<_, anyhow::Error>(std::str::from_utf8(value)?)
    };
    Ok(DeadLetter {
        record: LogRecord {
            partition: Partition(text("partition")?.parse()?),
            offset: text("offset")?.parse()?,
            append_ms: text("append_ms")?.parse()?,
            key: message.key().unwrap_or_default().to_vec().into(),
            value: message.payload().unwrap_or_default().to_vec().into(),
        },
        reason: text("reason")?.into(),
    })
}

impl PlaceBackend for Topics {
    fn place(&self) -> Result<impl Place + 'static> {
        stack::needs(&[BROKERS])?;
        Ok(OwnerTopic::new(self.settings()))
    }
}

impl Backend for OnKafka {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker) as Arc<dyn Broker>
    }

    fn history(&self) -> Arc<dyn History> {
        self.others.history()
    }

    fn directory(&self) -> Directory {
        self.others.directory()
    }

    fn file_store(&self) -> Arc<dyn FileStore> {
        self.others.file_store()
    }

    async fn reopen(self) -> Result<OnKafka> {
        let OnKafka {
            broker,
            topics,
            others,
        } = self;
        drop(broker);
        Ok(OnKafka {
            broker: Arc::new(connect(topics.settings()).await?),
            topics,
            others: others.reopen().await?,
        })
    }

    async fn forget_below(&self, partition: Partition, offset: Offset) -> Result<bool> {
        delete_below(&self.topics.messages(), partition, offset).await?;
        Ok(true)
    }

    async fn append_gap(&self, partition: Partition) -> Result<bool> {
        write_transaction(&self.topics.messages(), &[partition]).await?;
        Ok(true)
    }

    async fn dead_letters(&self, count: usize) -> Result<Vec<DeadLetter>> {
        let topic = self.topics.dead_letters();
        tokio::task::spawn_blocking(move || read_all(&topic, count)).await?
    }

    async fn drafts(&self) -> Result<usize> {
        self.others.drafts().await
    }
}
