//! Files in HDFS.
//!
//! HDFS gives a file one writer and shows it from its first byte on, so a draft is written where
//! nobody looks, closed, checked and then renamed ([`layout`] has the places). A server that was
//! killed leaves its drafts; who is dead is told by beats ([`run`]), as the time stamps of an
//! open file stand still. Both know no client library, nor does [`exceptions`], which reads what a
//! NameNode answers: what is [`native`] alone talks to HDFS.

mod exceptions;
mod hadoop_conf;
mod heartbeat;
mod layout;
mod list;
mod native;
mod read;
mod run;
mod settings;
mod store;
mod sweep;
mod upload;
mod writer;

pub use self::hadoop_conf::HadoopConf;
pub use self::settings::Settings;
pub use self::store::{HdfsStore, OpenError};
