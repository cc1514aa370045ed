//! `lakechat dead-letters`: lists the records of the log that could not be read.

use std::io::{self, BufWriter, ErrorKind, Write};

use anyhow::Result;
use futures_util::TryStreamExt;
use serde::Serialize;

use super::moment::rfc3339;
use crate::app::existing;
use crate::config::{Config, Flags};
use lakechat_core::ports::broker::DeadLetter;

/// List the records of the log that could not be read
///
/// A record that can't be decoded, or isn't in the partition of its channel, has no effect: it is
/// put aside with the reason, in the topic <kafka.topic_prefix>.dead-letters (kept for 30 days) or
/// in the table dead_letters of lakechat.db. This lists what is there, also while servers run.
/// Nothing is changed.
///
///   lakechat dead-letters                            place, time, key and reason of each
///   lakechat dead-letters --values                   with the records themselves
///   lakechat dead-letters --json | jq -r .reason | sort | uniq -c
///
/// Exit codes: 0: all were listed, also if there are none; 1: the log can't be read; 64: invalid
/// configuration.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DeadLettersArgs {
    #[command(flatten)]
    pub flags: Flags,
    /// Print the values, too. They may contain texts of messages, also private ones
    #[arg(long)]
    values: bool,
    /// Print a JSON object per line
    #[arg(long)]
    json: bool,
}

/// Prints the dead letters as they are read.
pub async fn run(args: &DeadLettersArgs, config: &Config) -> Result<()> {
    let broker = existing::broker(config).await?;
    let mut letters = broker.dead_letters().await?;
    let mut output = BufWriter::new(io::stdout().lock());
    while let Some(letter) = letters.try_next().await? {
        let printed = match args.json {
            true => print_json(&mut output, &letter, args.values),
            false => print_text(&mut output, &letter, args.values),
        };
        match printed {
            // Such as `| head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            printed => printed?,
        }
    }
    output.flush().or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })?;
    Ok(())
}

fn print_text(output: &mut impl Write, letter: &DeadLetter, values: bool) -> io::Result<()> {
    let DeadLetter { record, reason } = letter;
    writeln!(
        output,
        "partition {} offset {} {} key {:?}: {reason}",
        record.partition,
        record.offset,
        rfc3339(record.append_ms),
        String::from_utf8_lossy(&record.key),
    )?;
    if values {
        // Escaped: a value may contain anything, control characters of a terminal too.
        writeln!(output, "  {:?}", String::from_utf8_lossy(&record.value))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    partition: u16,
    offset: u64,
    /// Milliseconds since 1970, by the log's clock.
    appended_at: u64,
    #[serde(flatten)]
    key: Content<'a>,
    reason: &'a str,
    #[serde(flatten)]
    value: Option<Content<'a>>,
}

/// Text as it is, other bytes in hex digits.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Key(&'a str),
    KeyHex(String),
    Value(&'a str),
    ValueHex(String),
}

fn print_json(output: &mut impl Write, letter: &DeadLetter, values: bool) -> io::Result<()> {
    let record = &letter.record;
    let key = match std::str::from_utf8(&record.key) {
        Ok(text) => Content::Key(text),
        Err(_) => Content::KeyHex(hex::encode(&record.key)),
    };
    let value = || match std::str::from_utf8(&record.value) {
        Ok(text) => Content::Value(text),
        Err(_) => Content::ValueHex(hex::encode(&record.value)),
    };
    let line = Line {
        partition: record.partition.0,
        offset: record.offset,
        appended_at: record.append_ms,
        key,
        reason: &letter.reason,
        value: values.then(value),
    };
    serde_json::to_writer(&mut *output, &line)?;
    writeln!(output)
}
