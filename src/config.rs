//! The configuration: flags override environment variables, which override a file.
//!
//! `sections` declares every key. All mistakes are found and reported together, before the server
//! does anything. The merge is not left to figment, which stops at the first mistake and reads a
//! variable's `007` as the number 7.

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
mod text;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use self::mistake::ConfigErrors;
pub use self::names::ServerId;
pub use self::print::{PrintedValues, to_toml};
pub use self::reader::ConfigKey;
use self::reader::Reader;
use self::sections::TopLevel;
pub use self::sections::{
    AuthConfig, ChatConfig, FilesConfig, HbaseConfig, HdfsConfig, KafkaConfig, LimitsConfig,
    RedisConfig, ServerConfig,
};
#[cfg(feature = "cluster")]
pub use self::source::ConfigFlag;
use self::source::Givens;
pub use self::source::{Flags, Source};
pub use self::values::{LogFilter, LogFormat, Mode, Origin, PublicUrl, Registration};

/// Maximum size of everything in a frame except the text of its message.
const FRAME_OVERHEAD_BYTES: usize = 512;

/// Options of librdkafka that lakechat sets itself.
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

/// The file name of the signing key in the data folder.
const KEY_FILE: &str = "lakechat.key";

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub mode: Mode,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub log: LogFilter,
    pub log_format: LogFormat,
    pub server: ServerConfig,
    pub kafka: KafkaConfig,
    pub hbase: HbaseConfig,
    pub hdfs: HdfsConfig,
    pub redis: RedisConfig,
    pub auth: AuthConfig,
    pub files: FilesConfig,
    pub limits: LimitsConfig,
    pub chat: ChatConfig,
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub keys: Vec<ConfigKey>,
}

/// Loads the configuration from flags, the environment of this process and the file that one of them names.
pub fn load(flags: &Flags) -> Result<Loaded, ConfigErrors> {
    load_from(flags, std::env::vars_os())
}

/// Like [`load`], with a given environment.
pub fn load_from(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigErrors> {
    let mut mistakes = Vec::new();
    let givens = source::collect(flags, variables, &mut mistakes);
    let mut reader = Reader::new(givens, mistakes);
    let config = Config::read(&mut reader);
    config.compare(&mut reader);
    let keys = reader.finish()?;
    Ok(Loaded { config, keys })
}

impl Config {
    fn read(reader: &mut Reader) -> Config {
        let top = TopLevel::read(reader);
        Config {
            mode: top.mode,
            listen: top.listen,
            data_dir: top.data_dir,
            log: top.log,
            log_format: top.log_format,
            server: ServerConfig::read(reader),
            kafka: KafkaConfig::read(reader),
            hbase: HbaseConfig::read(reader),
            hdfs: HdfsConfig::read(reader),
            redis: RedisConfig::read(reader),
            auth: AuthConfig::read(reader),
            files: FilesConfig::read(reader),
            limits: LimitsConfig::read(reader),
            chat: ChatConfig::read(reader),
        }
    }

    /// Checks values against each other.
    fn compare(&self, reader: &mut Reader) {
        if self.mode == Mode::Cluster && !cfg!(feature = "cluster") {
            let what =
                "has to be \"embedded\": this binary was built without the feature `cluster`";
            reader.refuse("mode", what);
        }
        let ChatConfig {
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
                let what = format!("{name} can't be set: lakechat depends on its own value for it");
                reader.refuse("kafka.options", what);
            }
        }
        if self.server.metrics_listen == Some(self.listen) && self.listen.port() != 0 {
            let what = "has to differ from listen; leave it out to serve /metrics there";
            reader.refuse("server.metrics_listen", what);
        }
    }

    /// The file with the key that signs tokens.
    pub fn secret_file(&self) -> PathBuf {
        let configured = self.auth.secret_file.clone();
        configured.unwrap_or_else(|| self.data_dir.join(KEY_FILE))
    }

    /// Who may register. Nobody else reaches a loopback address than those who use this machine.
    pub fn registration(&self) -> Registration {
        let by_address = match self.listen.ip().to_canonical().is_loopback() {
            true => Registration::Open,
            false => Registration::Closed,
        };
        self.auth.registration.unwrap_or(by_address)
    }

    /// The name under which clients and presence show this server.
    pub fn server_id(&self) -> ServerId {
        let configured = self.server.id.clone();
        configured.unwrap_or_else(ServerId::of_host)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::read(&mut Reader::new(Givens::new(), Vec::new()))
    }
}
