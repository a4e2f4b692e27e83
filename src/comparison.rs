//! The table that a run ends with: teachers, the student alone, the student distilled.

use std::io::Write;

use potstill_core::task::Retrieval;
use potstill_run::Row;

use crate::error::CliError;
use crate::table::{bytes, count, multiply_adds, table};

/// Prints the comparison.
///
/// # Errors
/// Output that cannot be printed.
pub fn print(out: &mut impl Write, rows: &[Row]) -> Result<(), CliError> {
    let finds = rows.iter().any(|row| row.retrieval.is_some());
    let mut columns = vec!["network", "top-1"];
    if finds {
        columns.extend(["mAP", "rank-1"]);
    }
    columns.extend(["parameters", "file", "multiply-adds", "training"]);
    let mut table = table(columns, 1);
    for row in rows {
        let mut cells = vec![row.network.clone(), format!("{:.2} %", row.top1)];
        if finds {
            let Retrieval { map, rank1, .. } = row.retrieval.unwrap_or_default();
            cells.extend([map, rank1].map(|share| format!("{share:.2} %")));
        }
        cells.extend([
            count(row.parameters as u64),
            row.file_bytes.map(bytes).unwrap_or_default(),
            multiply_adds(row.multiply_adds),
            row.seconds
                .map(|seconds| format!("{seconds:.0} s"))
                .unwrap_or_default(),
        ]);
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
