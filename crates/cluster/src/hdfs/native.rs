//! The client over `hdfs-native`: no JVM, all on the runtime that makes it.

pub(super) mod draft_file;
pub(super) mod name_node;
