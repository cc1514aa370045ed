//! The marks, up to which the rows are complete: rows `mark/<generation>/<partition>` of `meta`. A partition
//! without such a row is still where its generation started: see [`LogRow::first_mark`].

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::log_row::{self, LogRow};
use super::super::put::{self, Put};
use super::super::row::Row;
use super::super::row_key::{self, LOG};
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{Id, Partition};
use lakechat_core::ports::history::Mark;

/// The prefix of the marks' row keys.
const MARK: &str = "mark/";

pub(super) struct Marks {
    generation: u32,
    /// The latest known marks, by partition. Only a mark ahead of them is written. A mark's cell has its
    /// offset as the timestamp, so HBase shows the furthest one; of two cells with the same timestamp it
    /// would show the one that was written last.
    latest: Mutex<Vec<Mark>>,
}

/// A mark as analysts read it.
#[derive(Serialize, Deserialize)]
struct Value {
    offset: u64,
    id: Id,
    /// Milliseconds since 1970.
    time: u64,
}

impl Marks {
    pub fn new(partitions: u16, generation: u32) -> Marks {
        Marks {
            generation,
            latest: Mutex::new(vec![Mark::default(); usize::from(partitions)]),
        }
    }

    /// Reads row `log` and all marks in one scan: so the marks are of the generation that is checked.
    pub async fn read(&self, client: &Client) -> Result<Vec<Mark>, HBaseError> {
        let prefix = self.prefix();
        let scan = Scan {
            table: Table::Meta,
            from: LOG.as_bytes().to_vec(),
            to: row_key::end_of(prefix.clone().into_bytes()),
            reversed: false,
            columns: &["d:v"],
        };
        let read = move |connection: &mut _, tables: &_| {
            scan.collect(connection, tables, usize::MAX, |row| Ok(Some(row)))
        };
        let rows = client.read(read).await?;
        let log = self.log(&rows, &client.tables.name(Table::Meta))?;
        let mut latest = self.latest.lock().expect("nothing panics under it");
        for (partition, mark) in (0..).map(Partition).zip(latest.iter_mut()) {
            let first = log.first_mark(partition);
            if mark.offset <= first.offset {
                *mark = first;
            }
        }
        for row in &rows {
            let partition = row_key::rest(&row.key, prefix.as_bytes());
            let index = partition.and_then(|index| index.parse::<usize>().ok());
            if let Some(mark) = index.and_then(|index| latest.get_mut(index)) {
                keep_furthest(mark, decode(row)?);
            }
        }
        Ok(latest.clone())
    }

    /// Row `log`, if it is of this generation.
    fn log(&self, rows: &[Row], meta: &str) -> Result<LogRow, HBaseError> {
        let Some(row) = rows.iter().find(|row| row.key == LOG.as_bytes()) else {
            return Err(HBaseError::Stops(format!(
                "row `{LOG}` of {meta} is gone: it says which log history was written from. Restore the \
                 table as it was; or stop all servers, run `lakechat log adopt` and start them again, \
                 to write history anew from what the log still holds"
            )));
        };
        let log = log_row::decode(row.bytes("d:v").unwrap_or_default())?;
        if log.generation != self.generation {
            return Err(HBaseError::Stops(format!(
                "the log was adopted anew (generation {}, this server has {}): restart it",
                log.generation, self.generation
            )));
        }
        Ok(log)
    }

    pub async fn advance(
        &self,
        client: &Client,
        partition: Partition,
        mark: Mark,
    ) -> Result<(), HBaseError> {
        if mark.offset <= self.latest(partition)?.offset {
            return Ok(());
        }
        let timestamp = i64::try_from(mark.offset).expect("offsets use 63 bits");
        let row = format!("{}{partition}", self.prefix()).into_bytes();
        let puts = [Put::new(row).cell("d:v", encode(mark))];
        let write = move |connection: &mut _, tables: &_| {
            put::rows(connection, tables, Table::Meta, timestamp, &puts)
        };
        client.write(write).await?;
        let mut latest = self.latest.lock().expect("nothing panics under it");
        keep_furthest(&mut latest[partition.index()], mark);
        Ok(())
    }

    fn latest(&self, partition: Partition) -> Result<Mark, HBaseError> {
        let latest = self.latest.lock().expect("nothing panics under it");
        let mark = latest.get(partition.index()).copied();
        mark.ok_or_else(|| HBaseError::Broken(format!("the log has no partition {partition}")))
    }

    fn prefix(&self) -> String {
        format!("{MARK}{}/", self.generation)
    }
}

/// The latest generation that has mark rows; 0 if none has.
pub(in super::super) async fn latest_generation(client: &Client) -> Result<u32, HBaseError> {
    let scan = Scan {
        table: Table::Meta,
        from: MARK.as_bytes().to_vec(),
        to: row_key::end_of(MARK.as_bytes().to_vec()),
        reversed: false,
        columns: &["d:v"],
    };
    let generation = |row: &Row| {
        let (generation, _) = row_key::rest(&row.key, MARK.as_bytes())?.split_once('/')?;
        generation.parse().ok()
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, usize::MAX, |row| Ok(generation(&row)))
    };
    let generations = client.read(read).await?;
    Ok(generations.into_iter().max().unwrap_or(0))
}

/// Answers of parallel calls may arrive in any order.
fn keep_furthest(latest: &mut Mark, mark: Mark) {
    if mark.offset > latest.offset {
        *latest = mark;
    }
}

fn encode(mark: Mark) -> Vec<u8> {
    let value = Value {
        offset: mark.offset,
        id: mark.id,
        time: mark.time_ms,
    };
    serde_json::to_vec(&value).expect("a mark is JSON")
}

fn decode(row: &Row) -> Result<Mark, HBaseError> {
    let Value { offset, id, time } = row.need("d:v", |json| serde_json::from_str(json).ok())?;
    Ok(Mark {
        offset,
        id,
        time_ms: time,
    })
}
