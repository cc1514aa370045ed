//! The tables: statements that make them, and whether those that there are fit.
//!
//! lakechat makes no table itself: an operator of HBase reviews the statements and runs them.

mod check;
mod statements;

use super::settings::Settings;
use super::tables::{Table, Tables};
use lakechat_core::ports::PortError;

pub(super) use self::check::check;
pub use self::statements::{DEFAULT_REGIONS, MOST_REGIONS, statements};

/// How long cells are kept in HBase's terms: for ever.
const FOREVER: i32 = i32::MAX;

/// Versions of a cell: what was said before an edit or a deletion goes with the next compaction.
const VERSIONS: i32 = 1;

/// Why the tables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// HBase can't be asked: they may well fit.
    #[error(transparent)]
    Away(PortError),
    /// They don't, or HBase won't tell.
    #[error("the tables in HBase are not those that lakechat needs:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
}

/// The full names of the tables with their families.
pub fn tables(settings: &Settings) -> Vec<(String, &'static [&'static str])> {
    let tables = Tables::new(settings);
    Table::ALL
        .map(|table| (tables.name(table), table.families()))
        .into()
}
