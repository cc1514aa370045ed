//! The schema: the statements that create the tables, and the check of existing ones.
//!
//! lakechat itself creates no tables: an operator of HBase reviews the statements and runs them.

mod check;
mod statements;

use super::settings::HBaseSettings;
use super::tables::{Table, Tables};

pub use self::check::SchemaError;
pub(super) use self::check::check;
pub use self::statements::{DEFAULT_REGIONS, MOST_REGIONS, statements};

/// The full names of the tables with their families.
pub fn tables(settings: &HBaseSettings) -> Vec<(String, &'static [&'static str])> {
    let tables = Tables::new(settings);
    Table::ALL
        .map(|table| (tables.name(table), table.families()))
        .into()
}
