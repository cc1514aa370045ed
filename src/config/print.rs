//! A configuration as a TOML file with comments, which reads back as the same configuration.

use std::fmt::{self, Write};

use toml::Value;

use super::reader::ConfigKey;
use super::source::Source;

/// Which value of each key is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintedValues {
    /// The value in effect, and where it comes from.
    Effective,
    /// The default: a sample to start from.
    Defaults,
}

pub fn to_toml(keys: &[ConfigKey], values: PrintedValues) -> String {
    let mut text = String::new();
    write_keys(&mut text, keys, values).expect("writing to a String never fails");
    text
}

fn write_keys(out: &mut String, keys: &[ConfigKey], values: PrintedValues) -> fmt::Result {
    let mut current = "";
    for key in keys {
        let (section, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if !out.is_empty() {
            writeln!(out)?;
        }
        if section != current {
            writeln!(out, "[{section}]")?;
            current = section;
        }
        write_key(out, key, name, values)?;
    }
    Ok(())
}

fn write_key(out: &mut String, key: &ConfigKey, name: &str, values: PrintedValues) -> fmt::Result {
    for line in key.docs {
        writeln!(out, "#{line}")?;
    }
    writeln!(
        out,
        "# Allowed: {}. Variable: {}",
        key.allowed,
        key.variable()
    )?;
    match values {
        PrintedValues::Defaults => write_value(out, name, key.default.as_ref())?,
        PrintedValues::Effective => {
            write_value(out, name, key.value.as_ref())?;
            write!(out, "  # {}", origin(key))?;
        }
    }
    writeln!(out)
}

fn write_value(out: &mut String, name: &str, value: Option<&Value>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "{name} = {value}"),
        None => write!(out, "# {name} ="),
    }
}

fn origin(key: &ConfigKey) -> String {
    match (&key.source, &key.default) {
        (Source::Default, Some(_)) => "default".to_owned(),
        (Source::Default, None) => "not given".to_owned(),
        // A path may contain a line break, which would end the comment.
        (source, Some(default)) => format!("from {}; default {default}", one_line(source)),
        (source, None) => format!("from {}", one_line(source)),
    }
}

fn one_line(source: &Source) -> String {
    source.to_string().escape_debug().to_string()
}
