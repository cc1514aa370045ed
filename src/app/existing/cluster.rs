//! The same in a cluster.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::super::cluster::places::Places;
use super::super::settings;
use super::Existing;
use crate::config::Config;
use lakechat_cluster::hbase::{HBase, LogRow};
use lakechat_cluster::hdfs::HdfsStore;
use lakechat_cluster::kafka::KafkaBroker;
use lakechat_core::chat::LogOrigin;
use lakechat_core::domain::Partition;
use lakechat_core::ports::Broker;

pub async fn broker(config: &Config) -> Result<Arc<dyn Broker>> {
    let hbase = hbase(config)?;
    let row = log_row(config, &hbase).await?;
    Ok(Arc::new(kafka(config, &row).await?))
}

/// Refuses places that belong to another installation than the tables.
pub async fn open(config: &Config) -> Result<Existing> {
    let hbase = hbase(config)?;
    let row = log_row(config, &hbase).await?;
    expect_ours(config, &hbase).await?;
    let directory = hbase.directory();
    Ok(Existing {
        broker: Arc::new(kafka(config, &row).await?),
        history: hbase.history(row.partitions, row.generation),
        file_rows: directory.file_rows,
        upload_rows: directory.upload_rows,
        files: Arc::new(HdfsStore::open(settings::hdfs(config))?),
        origins: origins(&row),
        locked: None,
    })
}

fn hbase(config: &Config) -> Result<HBase> {
    HBase::start(&settings::hbase(&config.hbase))
        .context("can't start the threads of HBase's client")
}

/// Row `log`, if it is that of the configured topic.
async fn log_row(config: &Config, hbase: &HBase) -> Result<LogRow> {
    let Some(row) = hbase.log_row().await? else {
        bail!(
            "table {} has no row `log`: no server was ever started on these tables",
            hbase.meta_table()
        );
    };
    let topic = settings::kafka(config, row.partitions).messages_topic();
    ensure!(
        row.topic == topic,
        "the tables in HBase belong to topic {}, but kafka.topic_prefix points at {topic}: correct \
         kafka.topic_prefix, or hbase.namespace and hbase.table_prefix",
        row.topic
    );
    Ok(row)
}

async fn kafka(config: &Config, row: &LogRow) -> Result<KafkaBroker> {
    let settings = settings::kafka(config, row.partitions);
    let broker = KafkaBroker::connect_existing(settings).await?;
    Ok(broker.beginning_at(row.begins()))
}

async fn expect_ours(config: &Config, hbase: &HBase) -> Result<()> {
    let places = Places::new(config)?;
    let ours = hbase.installation().await?;
    for place in places.owners().await {
        ensure!(
            !place.is_foreign(ours.as_ref()),
            "{} belongs to another installation than table {}: correct the settings in brackets, or \
             hbase.namespace and hbase.table_prefix",
            place.place.name(),
            hbase.meta_table()
        );
    }
    Ok(())
}

/// The last id before a generation is that before its first offset, unless the generation went on with the
/// log of the one before.
fn origins(row: &LogRow) -> Vec<LogOrigin> {
    let begins = row.begins();
    let origin = |partition: Partition| {
        let begin = begins.get(partition.index()).copied().unwrap_or(0);
        let first = row.first_mark(partition);
        LogOrigin {
            begin,
            id: (first.offset == begin).then_some(first.id),
        }
    };
    (0..row.partitions).map(Partition).map(origin).collect()
}
