//! A configuration as a TOML file with comments, which reads back as the same configuration.

use std::fmt::{self, Write};

use toml::Value;

use super::reader::Row;
use super::source::Source;

/// Which value of each key is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What counts, and where it comes from.
    Effective,
    /// The default: a sample to begin with.
    Defaults,
}

pub fn to_toml(rows: &[Row], shown: Shown) -> String {
    let mut text = String::new();
    write_rows(&mut text, rows, shown).expect("a String takes everything");
    text
}

fn write_rows(out: &mut String, rows: &[Row], shown: Shown) -> fmt::Result {
    let mut current = "";
    for row in rows {
        let (section, name) = row.key.rsplit_once('.').unwrap_or(("", row.key));
        if !out.is_empty() {
            writeln!(out)?;
        }
        if section != current {
            writeln!(out, "[{section}]")?;
            current = section;
        }
        write_row(out, row, name, shown)?;
    }
    Ok(())
}

fn write_row(out: &mut String, row: &Row, name: &str, shown: Shown) -> fmt::Result {
    for line in row.docs {
        writeln!(out, "#{line}")?;
    }
    writeln!(
        out,
        "# Allowed: {}. Variable: {}",
        row.allowed,
        row.variable()
    )?;
    match shown {
        Shown::Defaults => write_value(out, name, row.default.as_ref())?,
        Shown::Effective => {
            write_value(out, name, row.value.as_ref())?;
            write!(out, "  # {}", origin(row))?;
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

fn origin(row: &Row) -> String {
    match (&row.source, &row.default) {
        (Source::Default, Some(_)) => "default".to_owned(),
        (Source::Default, None) => "not given".to_owned(),
        // A path may have a line break in it, and a comment has to end with its line.
        (source, Some(default)) => format!("from {}; default {default}", one_line(source)),
        (source, None) => format!("from {}", one_line(source)),
    }
}

fn one_line(source: &Source) -> String {
    source.to_string().escape_debug().to_string()
}
