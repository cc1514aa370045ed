//! Files in HDFS.
//!
//! HDFS gives a file one writer and shows it from its first byte on, so a draft is written where
//! nobody looks, closed, checked and then renamed ([`layout`] has the places). A server that was
//! killed leaves its drafts; who is dead is told by beats ([`liveness`]), as the time stamps of an
//! open file stand still. Both know no client library, nor does [`refusal`], which reads what a
//! NameNode answers: what is [`native`] alone talks to HDFS.

mod hadoop_conf;
mod layout;
mod liveness;
mod native;
mod refusal;
mod settings;

pub use self::hadoop_conf::HadoopConf;
pub use self::native::{HdfsStore, OpenError};
pub use self::settings::Settings;
