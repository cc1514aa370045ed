//! Up to where the rows are complete: rows `mark/<generation>/<partition>` of `meta`.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::super::client::Core;
use super::super::error::Fault;
use super::super::log_row::{self, LogRow};
use super::super::put::{self, Put};
use super::super::row::Row;
use super::super::row_key::{self, LOG};
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{Id, Partition};
use lakechat_core::ports::history::Mark;

pub(super) struct Marks {
    generation: u32,
    /// The marks as they were last seen, by partition: what is not ahead of them is not written.
    /// A cell's stamp is the offset, so HBase itself never goes back; but of two cells with one
    /// stamp it would take the later.
    seen: Mutex<Vec<Mark>>,
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
            seen: Mutex::new(vec![Mark::default(); usize::from(partitions)]),
        }
    }

    /// All of them, and row `log` before them, in one scan.
    pub async fn read(&self, core: &Core) -> Result<Vec<Mark>, Fault> {
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
        let rows = core.read(read).await?;
        let log = self.log(&rows, &core.tables.name(Table::Meta))?;
        let mut seen = self.seen.lock().expect("nothing panics under it");
        for (mark, floor) in seen.iter_mut().zip(&log.floors) {
            if mark.offset == 0 {
                mark.id = *floor;
            }
        }
        for row in &rows {
            let partition = row_key::rest(&row.key, prefix.as_bytes());
            let index = partition.and_then(|index| index.parse::<usize>().ok());
            if let Some(mark) = index.and_then(|index| seen.get_mut(index)) {
                keep_ahead(mark, decode(row)?);
            }
        }
        Ok(seen.clone())
    }

    /// Row `log`, if it is of this generation.
    fn log(&self, rows: &[Row], meta: &str) -> Result<LogRow, Fault> {
        let Some(row) = rows.iter().find(|row| row.key == LOG.as_bytes()) else {
            return Err(Fault::Stops(format!(
                "row `{LOG}` of {meta} is gone, and with it what history was written from: bring the \
                 table back as it was, or stop all servers and start them again to write history anew \
                 from what the log still keeps"
            )));
        };
        let log = log_row::decode(row.bytes("d:v").unwrap_or_default())?;
        if log.generation != self.generation {
            return Err(Fault::Stops(format!(
                "the log was adopted anew (generation {}, this server has {}): restart it",
                log.generation, self.generation
            )));
        }
        Ok(log)
    }

    pub async fn advance(
        &self,
        core: &Core,
        partition: Partition,
        mark: Mark,
    ) -> Result<(), Fault> {
        if mark.offset <= self.seen(partition)?.offset {
            return Ok(());
        }
        let stamp = i64::try_from(mark.offset).expect("offsets use 63 bits");
        let row = format!("{}{partition}", self.prefix()).into_bytes();
        let puts = [Put::new(row).cell("d:v", encode(mark))];
        let write = move |connection: &mut _, tables: &_| {
            put::rows(connection, tables, Table::Meta, stamp, &puts)
        };
        core.write(write).await?;
        let mut seen = self.seen.lock().expect("nothing panics under it");
        keep_ahead(&mut seen[partition.index()], mark);
        Ok(())
    }

    fn seen(&self, partition: Partition) -> Result<Mark, Fault> {
        let seen = self.seen.lock().expect("nothing panics under it");
        let mark = seen.get(partition.index()).copied();
        mark.ok_or_else(|| Fault::Broken(format!("the log has no partition {partition}")))
    }

    fn prefix(&self) -> String {
        format!("mark/{}/", self.generation)
    }
}

/// Two answers may overtake each other.
fn keep_ahead(seen: &mut Mark, mark: Mark) {
    if mark.offset > seen.offset {
        *seen = mark;
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

fn decode(row: &Row) -> Result<Mark, Fault> {
    let Value { offset, id, time } = row.need("d:v", |json| serde_json::from_str(json).ok())?;
    Ok(Mark {
        offset,
        id,
        time_ms: time,
    })
}
