//! The configuration: a file, over it the environment, over it flags.
//!
//! All keys stand in `sections`, once. Every mistake is found and told together before the
//! server does anything. Values are merged here and not by figment, which stops at the first mistake
//! and takes a variable's `007` for the number 7.

mod addresses;
mod kafka_options;
mod mistake;
mod names;
mod print;
mod reader;
mod section;
mod sections;
mod setting;
mod source;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use self::mistake::ConfigErrors;
pub use self::names::ServerId;
pub use self::print::{Shown, to_toml};
use self::reader::Reader;
pub use self::reader::Row;
use self::sections::Top;
pub use self::sections::{Auth, Chat, Files, Hbase, Hdfs, Kafka, Limits, Redis, Server};
use self::source::Givens;
pub use self::source::{ConfigFlag, Flags, Source};
pub use self::values::{LogFilter, LogFormat, Mode, Origin, PublicUrl};

/// What a frame holds beside the text of a message, at most.
const FRAME_OVERHEAD_BYTES: usize = 512;

/// Options of librdkafka that are not the operator's.
const OWN_OPTIONS: [&str; 16] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

/// The name of the signing key within the data folder.
const KEY_FILE: &str = "lakechat.key";

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub mode: Mode,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub log: LogFilter,
    pub log_format: LogFormat,
    pub server: Server,
    pub kafka: Kafka,
    pub hbase: Hbase,
    pub hdfs: Hdfs,
    pub redis: Redis,
    pub auth: Auth,
    pub files: Files,
    pub limits: Limits,
    pub chat: Chat,
}

/// A configuration with the story of each key.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub rows: Vec<Row>,
}

/// Reads flags, this process' environment and the file that one of them names.
pub fn load(flags: &Flags) -> Result<Loaded, ConfigErrors> {
    load_from(flags, std::env::vars_os())
}

/// Reads flags, an environment and the file that one of them names.
pub fn load_from(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigErrors> {
    let mut mistakes = Vec::new();
    let givens = source::collect(flags, variables, &mut mistakes);
    let mut reader = Reader::new(givens, mistakes);
    let config = Config::read(&mut reader);
    config.compare(&mut reader);
    let rows = reader.finish()?;
    Ok(Loaded { config, rows })
}

impl Config {
    fn read(reader: &mut Reader) -> Config {
        let top = Top::read(reader);
        Config {
            mode: top.mode,
            listen: top.listen,
            data_dir: top.data_dir,
            log: top.log,
            log_format: top.log_format,
            server: Server::read(reader),
            kafka: Kafka::read(reader),
            hbase: Hbase::read(reader),
            hdfs: Hdfs::read(reader),
            redis: Redis::read(reader),
            auth: Auth::read(reader),
            files: Files::read(reader),
            limits: Limits::read(reader),
            chat: Chat::read(reader),
        }
    }

    /// What each value has to be beside the others.
    fn compare(&self, reader: &mut Reader) {
        if self.mode == Mode::Cluster && !cfg!(feature = "cluster") {
            let what =
                "has to be \"embedded\": this lakechat was built without the feature cluster";
            reader.refuse("mode", what);
        }
        let Chat {
            text_bytes,
            frame_bytes,
            ..
        } = self.chat;
        if text_bytes + FRAME_OVERHEAD_BYTES > frame_bytes {
            let what = format!(
                "has to be at least {FRAME_OVERHEAD_BYTES} below chat.frame_bytes = {frame_bytes}"
            );
            reader.refuse("chat.text_bytes", what);
        }
        if self.files.inline_bytes as u64 > self.files.max_bytes {
            let most = self.files.max_bytes;
            let what = format!("has to be at most files.max_bytes = {most}");
            reader.refuse("files.inline_bytes", what);
        }
        if self.auth.refresh_token_seconds < self.auth.access_token_seconds {
            let least = self.auth.access_token_seconds;
            let what = format!("has to be at least auth.access_token_seconds = {least}");
            reader.refuse("auth.refresh_token_seconds", what);
        }
        for (name, _) in self.kafka.options.iter() {
            if OWN_OPTIONS.contains(&name) {
                let what = format!("{name} can't be set: lakechat's promises stand on its value");
                reader.refuse("kafka.options", what);
            }
        }
        if self.server.metrics_listen == Some(self.listen) && self.listen.port() != 0 {
            let what = "has to be another address than listen; leave it out to share that one";
            reader.refuse("server.metrics_listen", what);
        }
    }

    /// Where the key is that signs tokens.
    pub fn secret_file(&self) -> PathBuf {
        let given = self.auth.secret_file.clone();
        given.unwrap_or_else(|| self.data_dir.join(KEY_FILE))
    }

    /// What this server is called before clients.
    pub fn server_id(&self) -> ServerId {
        let given = self.server.id.clone();
        given.unwrap_or_else(ServerId::of_host)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::read(&mut Reader::new(Givens::new(), Vec::new()))
    }
}
