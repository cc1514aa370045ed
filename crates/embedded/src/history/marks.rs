//! The marks: per partition, up to where the history is complete.

use rusqlite::{Connection, Result, params};

use crate::columns::{ReadColumn, id, int};
use lakechat_core::domain::Partition;
use lakechat_core::ports::history::Mark;

/// By partition; the default where none is stored.
pub(crate) fn read(db: &Connection, partitions: u16) -> Result<Vec<Mark>> {
    let mut marks = vec![Mark::default(); usize::from(partitions)];
    let mut select = db.prepare_cached("SELECT partition, offset, id, time FROM marks")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let partition: u16 = row.get(0)?;
        if let Some(mark) = marks.get_mut(usize::from(partition)) {
            *mark = Mark {
                offset: row.number(1)?,
                id: row.id(2)?,
                time_ms: row.number(3)?,
            };
        }
    }
    Ok(marks)
}

/// Moves a mark forward. A mark at or behind the stored one changes nothing.
pub(super) fn advance(db: &Connection, partition: Partition, mark: Mark) -> Result<()> {
    let mut advance = db.prepare_cached(
        "INSERT INTO marks (partition, offset, id, time) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (partition) DO UPDATE
         SET offset = excluded.offset, id = excluded.id, time = excluded.time
         WHERE excluded.offset > offset",
    )?;
    let (offset, last) = (int(mark.offset), id(mark.id));
    advance.execute(params![partition.0, offset, last, int(mark.time_ms)])?;
    Ok(())
}
