//! The back ends of the cluster mode: the log in Kafka, history and directory in HBase, files in
//! HDFS, presence in Redis. None of them knows another.

pub mod hbase;
pub mod hdfs;
pub mod kafka;
pub mod redis;
