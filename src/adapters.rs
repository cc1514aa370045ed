//! The back ends behind the ports. Adapters don't know each other; `app` alone picks among them.

pub mod embedded;
pub mod hbase;
pub mod hdfs;
pub mod kafka;
pub mod memory;
pub mod redis;
