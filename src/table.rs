//! Tables for people, JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use serde::Serialize;

use crate::error::CliError;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table.
    Table,
    /// JSON.
    Json,
}

/// A table with these columns; those from `numbers_from` on are aligned to the right.
pub fn table<'a>(columns: impl IntoIterator<Item = &'a str>, numbers_from: usize) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header(columns);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Prints a value as JSON.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// A count with its thousands apart: `1,096,196`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes, as people read it.
pub fn bytes(number: u64) -> String {
    if number < 1_000 {
        format!("{number} B")
    } else if number < 1_000_000 {
        format!("{:.1} kB", number as f64 / 1e3)
    } else if number < 1_000_000_000 {
        format!("{:.2} MB", number as f64 / 1e6)
    } else {
        format!("{:.2} GB", number as f64 / 1e9)
    }
}

/// Multiply-adds in millions or billions.
pub fn multiply_adds(number: u64) -> String {
    if number < 1_000_000_000 {
        format!("{:.2} M", number as f64 / 1e6)
    } else {
        format!("{:.2} G", number as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(count(1_096_196), "1,096,196");
        assert_eq!(count(96), "96");
        assert_eq!(count(100_000), "100,000");
    }
}
