//! Tables and JSON on standard output.

use anyhow::Result;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::cli::chat::plain;

pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(head: [&str; N]) -> Table<N> {
        Table {
            rows: vec![head.map(str::to_owned)],
        }
    }

    /// What can't be shown is escaped.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)));
    }

    pub fn print(&self) {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let widths = self.rows.iter().map(|row| row[column].width());
            widths.max().unwrap_or_default()
        });
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line += cell;
                line += &" ".repeat(width - cell.width() + 2);
            }
            println!("{}", line.trim_end());
        }
    }
}

pub fn print_json(value: &(impl serde::Serialize + ?Sized)) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// `yes`, or nothing to catch the eye.
pub fn flag(value: &Value) -> String {
    let is_set = value.as_bool().unwrap_or_default();
    if is_set { "yes" } else { "-" }.to_owned()
}
