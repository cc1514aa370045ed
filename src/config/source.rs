//! Collects the given values: flags override environment variables, which override the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::mistake::Mistake;

const PREFIX: &str = "LAKECHAT_";

/// Prefixes of the variables that Kubernetes sets in containers for a service named `lakechat`.
const OF_KUBERNETES: [&str; 2] = ["LAKECHAT_PORT", "LAKECHAT_SERVICE_"];

/// Where `lakechat chat` reads the password. They may be set in a shell that also starts a server.
const OF_CHAT: [&str; 2] = ["LAKECHAT_PASSWORD", "LAKECHAT_PASSWORD_FILE"];

/// The settings that have a flag.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The configuration file (TOML) [env: LAKECHAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on, such as 127.0.0.1:8080 [env: LAKECHAT_LISTEN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The data folder, which in embedded mode holds everything [env: LAKECHAT_DATA_DIR]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
}

/// The flag of the commands that only read the configuration.
#[cfg(feature = "cluster")]
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigFlag {
    /// The configuration file (TOML) [env: LAKECHAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[cfg(feature = "cluster")]
impl ConfigFlag {
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            ..Flags::default()
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    /// The name of the variable.
    Variable(String),
    /// The flag, including its dashes.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Variable(name) => f.write_str(name),
            Source::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was written. Only the type of the key can interpret the text of a variable or flag.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    Toml(toml::Value),
    Text(String),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Toml(value) => value.fmt(f),
            Raw::Text(text) => toml::Value::from(text.as_str()).fmt(f),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Given {
    pub raw: Raw,
    pub source: Source,
}

/// The given values by key (`limits.sends_per_user`).
pub type Givens = BTreeMap<String, Given>;

/// The name of the variable that sets a key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Everything that was given. Mistakes that don't depend on a key's type go into `mistakes`.
pub fn collect(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<Mistake>,
) -> Givens {
    let mut from_variables = read_environment(variables, mistakes);
    let named = from_variables.remove("config");
    let file = match (&flags.config, named) {
        (Some(path), _) => Some((path.clone(), Source::Flag("--config"))),
        (None, Some(Given { raw, source })) => match raw {
            Raw::Text(path) if !path.is_empty() => Some((PathBuf::from(path), source)),
            _ => None,
        },
        (None, None) => None,
    };
    let mut givens = Givens::new();
    if let Some((path, source)) = file {
        givens.extend(read_file(&path, &source, mistakes));
    }
    givens.extend(from_variables);
    givens.extend(read_flags(flags));
    givens
}

fn read_file(path: &Path, named_by: &Source, mistakes: &mut Vec<Mistake>) -> Givens {
    let mut givens = Givens::new();
    match std::fs::read_to_string(path) {
        Err(error) => mistakes.push(Mistake {
            at: format!("{named_by} = {:?}", path.display().to_string()),
            what: format!("can't be read: {error}"),
        }),
        Ok(text) => match text.parse::<toml::Table>() {
            Ok(table) => flatten("", table, &Source::File(path.into()), &mut givens),
            Err(error) => mistakes.push(Mistake {
                at: path.display().to_string(),
                what: not_toml(&text, &error),
            }),
        },
    }
    givens
}

/// The error without the line that caused it, which may contain a secret.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(0, |text| text.matches('\n').count()) + 1;
    format!("is not TOML: {}, in line {line}", error.message())
}

fn flatten(prefix: &str, table: toml::Table, source: &Source, into: &mut Givens) {
    for (name, value) in table {
        let key = match prefix {
            "" => name,
            _ => format!("{prefix}.{name}"),
        };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(&key, inner, source, into),
            value => {
                let (raw, source) = (Raw::Toml(value), source.clone());
                into.insert(key, Given { raw, source });
            }
        }
    }
}

fn read_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<Mistake>,
) -> Givens {
    let mut givens = Givens::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if OF_CHAT.contains(&&*name) || OF_KUBERNETES.iter().any(|own| name.starts_with(own)) {
            continue;
        }
        let key = rest.replace("__", ".").to_lowercase();
        if variable(&key) != name {
            let what = format!("has to be written as {}", variable(&key));
            mistakes.push(Mistake { at: name, what });
            continue;
        }
        match value.into_string() {
            Ok(text) => {
                let (raw, source) = (Raw::Text(text), Source::Variable(name));
                givens.insert(key, Given { raw, source });
            }
            Err(_) => mistakes.push(Mistake {
                at: name,
                what: "is not UTF-8".to_owned(),
            }),
        }
    }
    givens
}

fn read_flags(flags: &Flags) -> Givens {
    [
        ("listen", "--listen", &flags.listen),
        ("data_dir", "--data-dir", &flags.data_dir),
    ]
    .into_iter()
    .filter_map(|(key, flag, value)| {
        let raw = Raw::Text(value.clone()?);
        let source = Source::Flag(flag);
        Some((key.to_owned(), Given { raw, source }))
    })
    .collect()
}
