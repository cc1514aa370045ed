//! The adapters of Kafka, HBase and HDFS, over the services.

mod hbase;
mod hbase_faults;
mod hbase_rows;
mod hdfs;
mod kafka;
