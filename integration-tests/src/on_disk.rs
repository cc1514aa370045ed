//! The embedded back ends under test.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{DeadLetter, LogRecord, Offset};
use lakechat_core::ports::history::Mark;
use lakechat_core::ports::{Broker, Directory, FileStore, History};
use lakechat_embedded::{DATABASE, Embedded, EmbeddedSettings};
use tempfile::TempDir;

use crate::contract::Backend;

/// How far below a mark the log is kept.
const WARM_UP: Duration = Duration::from_secs(20 * 60);

/// The embedded back ends over a folder that goes with them.
pub struct OnDisk {
    pub embedded: Embedded,
    pub folder: TempDir,
}

pub async fn fresh() -> Result<OnDisk> {
    let folder = tempfile::tempdir()?;
    let embedded = open(folder.path())?;
    Ok(OnDisk { embedded, folder })
}

pub fn open(folder: &Path) -> Result<Embedded> {
    let settings = EmbeddedSettings {
        warm_up: WARM_UP,
        ..EmbeddedSettings::default()
    };
    Ok(Embedded::open(folder, settings)?)
}

fn letter(line: &str) -> Result<DeadLetter> {
    let columns: Vec<&str> = line.split('|').collect();
    let [partition, offset, append_ms, key, value, reason] = columns[..] else {
        bail!("a line of six columns: {line}");
    };
    Ok(DeadLetter {
        record: LogRecord {
            partition: Partition(partition.parse()?),
            offset: offset.parse()?,
            append_ms: append_ms.parse()?,
            key: unhex(key)?.into(),
            value: unhex(value)?.into(),
        },
        reason: String::from_utf8(unhex(reason)?)?.into(),
    })
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    let bytes = digits.map(|two| Ok(u8::from_str_radix(two, 16)?));
    bytes.collect()
}

impl Backend for OnDisk {
    fn broker(&self) -> Arc<dyn Broker> {
        self.embedded.broker()
    }

    fn history(&self) -> Arc<dyn History> {
        self.embedded.history()
    }

    fn directory(&self) -> Directory {
        self.embedded.directory()
    }

    fn file_store(&self) -> Arc<dyn FileStore> {
        self.embedded.file_store()
    }

    async fn reopen(self) -> Result<OnDisk> {
        let OnDisk { embedded, folder } = self;
        drop(embedded);
        let embedded = open(folder.path())?;
        Ok(OnDisk { embedded, folder })
    }

    /// A mark whose time is far ahead lets go of everything below it.
    async fn forget_below(&self, partition: Partition, offset: Offset) -> Result<bool> {
        let mark = Mark {
            offset,
            time_ms: self.broker().now_ms() + 86_400_000,
            ..Mark::default()
        };
        self.history().advance_mark(partition, mark).await?;
        self.embedded.trim().await?;
        Ok(true)
    }

    /// Read by SQLite's own shell.
    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>> {
        let query = "SELECT partition, offset, append_ms, hex(channel), hex(record), hex(reason) \
                     FROM dead_letters";
        let shell = Command::new("sqlite3")
            .arg("-readonly")
            .arg(self.folder.path().join(DATABASE))
            .arg(query)
            .output()?;
        ensure!(shell.status.success(), "sqlite3: {shell:?}");
        String::from_utf8(shell.stdout)?
            .lines()
            .map(letter)
            .collect()
    }

    async fn drafts(&self) -> Result<usize> {
        let drafts = std::fs::read_dir(self.folder.path().join("tmp"))?;
        Ok(drafts.count())
    }
}
