//! What `--balance R` prints: for each soft term, the weight with which its gradient would be R
//! times that of the loss on the true classes.

use std::io::Write;

use potstill_core::train::GradientReport;

use crate::error::CliError;
use crate::table::table;

/// The loss on the true classes, as every method names it.
const HARD: &str = "ce";

/// Prints the weights that follow from a run's mean gradient report.
///
/// # Errors
/// Output that cannot be printed.
pub fn print(out: &mut impl Write, report: &GradientReport, ratio: f64) -> Result<(), CliError> {
    let norm = |term: &str| report.get(&format!("{term}.parameters.norm")).copied();
    let weight = |term: &str| report.get(&format!("{term}.weight")).copied();
    let Some((hard, hard_weight)) = norm(HARD).zip(weight(HARD)).filter(|(norm, _)| *norm > 0.0) else {
        writeln!(
            out,
            "--balance: no gradient of `{HARD}` was measured, so there is nothing to compare with"
        )?;
        return Ok(());
    };
    let mut rows = table(
        [
            "term",
            "weight",
            "gradient ÷ ce's",
            "weight for the ratio",
            "share beside ce",
        ],
        1,
    );
    let soft = report
        .keys()
        .filter_map(|key| key.strip_suffix(".weight"))
        .filter(|term| *term != HARD);
    for term in soft {
        let (Some(norm), Some(weight)) = (norm(term).filter(|norm| *norm > 0.0), weight(term)) else {
            continue;
        };
        let wanted = weight * ratio * hard / norm;
        rows.add_row([
            term.to_owned(),
            format!("{weight:.4}"),
            format!("{:.3}", norm / hard),
            format!("{wanted:.4}"),
            format!("{:.4}", wanted / (wanted + hard_weight)),
        ]);
    }
    writeln!(out, "{rows}")?;
    writeln!(
        out,
        "With these weights beside the {hard_weight:.4} of {HARD}, each gradient is {ratio} times that of {HARD}; the last column is kd's alpha."
    )?;
    Ok(())
}
