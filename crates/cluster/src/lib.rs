//! The back ends of the cluster mode: the log in Kafka, history and directory in HBase, files in
//! HDFS, presence in Redis. None of them knows another. [`owner`] is what each of them says about itself;
//! [`sweep_guard`] compares HDFS with HBase.

pub mod hbase;
pub mod hdfs;
pub mod kafka;
pub mod owner;
pub mod redis;
pub mod sweep_guard;
