//! The services for one test alone, which may kill them and make them stand still.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::Cluster;
use crate::contract::eventually;
use crate::on_kafka::{THREE_BROKERS, Topics, copies_in_sync};
use crate::stack;

/// A cluster whose test may do to the services what it likes: all of them run again when it ends,
/// whatever became of it.
pub struct Alone {
    pub cluster: Arc<Cluster>,
    _brokers: Option<ThreeBrokers>,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    /// Waits until no other test of this program has the services. Cargo runs one program at a time.
    pub async fn fresh() -> Result<Alone> {
        let turn = TURN.lock().await;
        Ok(Alone {
            cluster: Cluster::fresh().await?,
            _brokers: None,
            _turn: turn,
        })
    }

    /// With its log in the Kafka of three brokers, which is started for it, and ended.
    pub async fn with_three_brokers() -> Result<Alone> {
        let turn = TURN.lock().await;
        let brokers = ThreeBrokers::start().await?;
        Ok(Alone {
            cluster: Cluster::on(Topics::of(THREE_BROKERS)).await?,
            _brokers: Some(brokers),
            _turn: turn,
        })
    }

    /// Waits until every partition of the log has so many copies in sync.
    pub async fn brokers_in_sync(&self, copies: usize) -> Result<()> {
        let kafka = self.cluster.topics.settings();
        let topic = kafka.messages_topic();
        eventually("all copies are in sync", async || {
            Ok(copies_in_sync(&kafka.brokers, &topic).await? == copies)
        })
        .await
    }
}

/// Who has the services.
static TURN: Mutex<()> = Mutex::const_new(());

/// The Kafka of three brokers, until it is dropped.
struct ThreeBrokers;

impl ThreeBrokers {
    const NAMES: [&str; 3] = ["kafka1", "kafka2", "kafka3"];

    async fn start() -> Result<ThreeBrokers> {
        stack::verb(&[&["start"], &ThreeBrokers::NAMES[..]].concat()).await?;
        Ok(ThreeBrokers)
    }
}

impl Drop for ThreeBrokers {
    fn drop(&mut self) {
        if let Err(error) = stack::run(&[&["kill"], &ThreeBrokers::NAMES[..]].concat()) {
            eprintln!("brokers stay: {error:#}");
        }
    }
}

impl Drop for Alone {
    // Before the cluster's own things go, which takes services.
    fn drop(&mut self) {
        if let Err(error) = stack::run(&["up"]) {
            eprintln!("services stay away: {error:#}");
        }
    }
}
