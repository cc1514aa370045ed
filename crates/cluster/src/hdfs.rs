//! Files in HDFS.
//!
//! HDFS gives a file one writer and shows it from its first byte on. So an upload writes a draft in a
//! folder of its server's [`run`], closes it, checks its length and renames it to its place ([`layout`]).
//! A killed server leaves its drafts behind; because the time stamps of an open file stand still, a
//! [`heartbeat`] file shows whether a run is alive, and [`sweep`] removes the drafts of dead ones.
//!
//! [`client`] is what these rules need of a client library. [`native`] implements it and is the only
//! place that names the library: another library is another folder, and a line in [`store`].

mod client;
mod exceptions;
mod hadoop_conf;
mod heartbeat;
mod layout;
mod list;
mod native;
mod owned_store;
mod owner_file;
mod read;
mod run;
mod settings;
mod site;
mod store;
mod sweep;
mod sweep_stamp;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upload;
mod writer;

pub use self::hadoop_conf::HadoopConf;
pub use self::owned_store::OwnedStore;
pub use self::owner_file::OwnerFile;
pub use self::settings::HdfsSettings;
pub use self::store::{HdfsStore, OpenError};
