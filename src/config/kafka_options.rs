//! Options for librdkafka: a table of names and values.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::setting::{Bounds, Setting};
use super::source::{Given, Givens, Raw};

/// Options of librdkafka by name. Only values that can't be secret are printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaOptions(BTreeMap<String, String>);

/// The options whose values are printed. All others may be secret: passwords, keys, passphrases, options
/// of later versions, and misspelt names.
const PRINTED: [&str; 46] = [
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.dns.lookup",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.wait.max.ms",
    "log_level",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queued.max.messages.kbytes",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
];

impl KafkaOptions {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Setting for KafkaOptions {
    /// A refused value may be a password.
    const SECRET: bool = true;

    fn allowed(_: &Bounds) -> String {
        "a table of strings, numbers and booleans".to_owned()
    }

    fn gather(givens: &mut Givens, key: &str) -> Option<Given> {
        let below = format!("{key}.");
        let names: Vec<String> = givens
            .range(below.clone()..)
            .map_while(|(name, _)| name.strip_prefix(&below).map(str::to_owned))
            .collect();
        // An empty section.
        let empty = givens.remove(key);
        let mut table = Table::new();
        let mut source = None;
        for name in names {
            let given = givens.remove(&format!("{below}{name}"))?;
            let value = match given.raw {
                Raw::Toml(value) => value,
                Raw::Text(text) => Value::String(text),
            };
            table.insert(name, value);
            source = Some(given.source);
        }
        let raw = Raw::Toml(Value::Table(table));
        source.map(|source| Given { raw, source }).or(empty)
    }

    fn read(raw: &Raw, _: &Bounds) -> Option<KafkaOptions> {
        let Raw::Toml(Value::Table(table)) = raw else {
            return None;
        };
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Some(value.to_string()),
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
        };
        let all = table
            .iter()
            .map(|(name, value)| Some((name.clone(), text(value)?)));
        all.collect::<Option<_>>().map(KafkaOptions)
    }

    fn to_toml(&self) -> Option<Value> {
        let printed = |(name, value): (&str, &str)| {
            let value = if PRINTED.contains(&name) {
                value
            } else {
                "***"
            };
            (name.to_owned(), Value::String(value.to_owned()))
        };
        Some(Value::Table(self.iter().map(printed).collect()))
    }
}
