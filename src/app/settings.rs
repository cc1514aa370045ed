//! The adapters' settings, filled from the configuration.

use std::time::Duration;

#[cfg(feature = "cluster")]
use crate::config;
use crate::config::Config;
#[cfg(feature = "cluster")]
use lakechat_cluster::{hbase, hdfs, kafka, redis};
use lakechat_core::chat::WARM_UP_MS;
use lakechat_embedded as embedded;

pub fn embedded(config: &Config) -> embedded::EmbeddedSettings {
    embedded::EmbeddedSettings {
        partitions: config.chat.partitions,
        warm_up: Duration::from_millis(WARM_UP_MS),
        ..Default::default()
    }
}

#[cfg(feature = "cluster")]
/// With the number of partitions that the log is to have, or already has.
pub fn kafka(config: &Config, partitions: u16) -> kafka::KafkaSettings {
    let kafka = &config.kafka;
    let options = kafka.options.iter();
    kafka::KafkaSettings {
        options: options.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        ..kafka::KafkaSettings::at(
            &kafka.brokers.joined(),
            kafka.topic_prefix.as_str(),
            partitions,
            config.chat.frame_bytes,
        )
    }
}

#[cfg(feature = "cluster")]
pub fn hbase(hbase: &config::HbaseConfig) -> hbase::HBaseSettings {
    hbase::HBaseSettings {
        servers: hbase.thrift.each().map(str::to_owned).collect(),
        namespace: hbase.namespace.as_str().to_owned(),
        table_prefix: hbase.table_prefix.as_str().to_owned(),
        timeout: Duration::from_millis(hbase.timeout_ms),
        connections: hbase.connections,
    }
}

#[cfg(feature = "cluster")]
pub fn hdfs(config: &Config) -> hdfs::HdfsSettings {
    let hdfs = &config.hdfs;
    hdfs::HdfsSettings {
        user: hdfs.user.as_str().to_owned(),
        conf_dir: hdfs.conf_dir.clone(),
        replication: hdfs.replication,
        ..hdfs::HdfsSettings::at(
            hdfs.url.as_str(),
            hdfs.root.as_str(),
            config.server_id().as_str(),
        )
    }
}

#[cfg(feature = "cluster")]
pub fn redis(config: &Config) -> redis::RedisSettings {
    let redis = &config.redis;
    redis::RedisSettings {
        url: redis.url.as_str().to_owned(),
        prefix: redis.prefix.as_str().to_owned(),
        server_id: config.server_id().as_str().to_owned(),
        deadline: Duration::from_millis(redis.presence_deadline_ms),
    }
}
