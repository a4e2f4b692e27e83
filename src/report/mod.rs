//! `potstill report`, and the page that every run ends with: the numbers of a run folder, to be
//! looked at.
//!
//! The way of a number: a file of the run (`record`, `metrics`), the plot that its name puts it in
//! (`curves`, `figure`), the drawing (`chart`), the page (`page`). Nothing is computed but moving
//! means of steps.

pub mod chart;
pub mod curves;
mod escape;
pub mod figure;
pub mod metrics;
pub mod page;
pub mod record;
mod stages;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use potstill_core::files::write_whole;

use self::curves::Compared;
use self::page::{Page, Table};
use self::record::{Ending, Network, Record};
use potstill_run::RunError;

use crate::error::CliError;
use crate::table::{bytes, count, multiply_adds};

/// The page's name in a run's folder.
pub const FILE: &str = "report.html";

/// Write a run's curves and results as one HTML page, `report.html` in its folder.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of the run, finished or not.
    run: PathBuf,
}

impl Report {
    /// Writes the page and says where it is.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let path = write(&self.run)?;
        writeln!(out, "{}", path.display())?;
        Ok(())
    }
}

/// Writes the page of a run into its folder.
///
/// # Errors
/// A folder without a run, a damaged file in it, a disk that refuses.
pub fn write(folder: &Path) -> Result<PathBuf, CliError> {
    let path = folder.join(FILE);
    write_page(&page(&Record::read(folder)?)?, &path)?;
    Ok(path)
}

/// Writes a page whole or not at all.
///
/// # Errors
/// A plot that cannot be drawn, a disk that refuses.
pub fn write_page(page: &Page, path: &Path) -> Result<(), CliError> {
    let html = page.html()?;
    write_whole(path, |file| file.write_all(html.as_bytes()))
        .map_err(|source| RunError::write(path, source).into())
}

fn page(record: &Record) -> Result<Page, CliError> {
    let config = &record.config;
    let methods: Vec<String> = config.plugin.iter().map(ToString::to_string).collect();
    let methods = if methods.is_empty() {
        "alone".to_owned()
    } else {
        methods.join(" + ")
    };
    let teachers: Vec<String> = config
        .teacher
        .iter()
        .map(|teacher| teacher.file.display().to_string())
        .collect();
    let mut introduction = vec![record.folder.display().to_string()];
    if !teachers.is_empty() {
        introduction.insert(0, format!("Taught by {}", teachers.join(", ")));
    }
    let accuracy = |row: &Network| Some((row.network.clone(), row.top1?));
    let compared = Compared {
        alone: record.alone.as_ref(),
        teachers: record
            .networks
            .iter()
            .filter(|row| row.is_teacher())
            .filter_map(accuracy)
            .collect(),
    };
    let figures = record
        .metrics
        .as_ref()
        .map(|metrics| curves::figures(metrics, &compared))
        .unwrap_or_default();
    Ok(Page {
        title: format!("{} on {}: {methods}", config.student_names(), config.data.name),
        introduction,
        warnings: warnings(record),
        table: table(&record.networks),
        figures,
        configuration: ("Configuration (run.toml)".to_owned(), config.to_toml()?),
    })
}

fn warnings(record: &Record) -> Vec<String> {
    let go_on = format!("potstill distill --resume --out {}", record.folder.display());
    let mut warnings = match record.ending() {
        Ending::Finished => return Vec::new(),
        Ending::StoppedEarly { step, reason } => {
            return vec![format!(
                "Stopped early, after step {}: {reason}.",
                count(step as u64)
            )];
        }
        Ending::Interrupted { step, reason } => vec![format!(
            "Interrupted after step {} ({reason}): not finished. To go on: {go_on}",
            count(step as u64)
        )],
        Ending::Unfinished { planned: 0, .. } => {
            vec![format!(
                "Not finished: no step is on record yet. To go on: {go_on}"
            )]
        }
        Ending::Unfinished { step, planned } => vec![format!(
            "Not finished: step {} of {} is the last on record. If it is no longer running, to go on: {go_on}",
            count(step as u64),
            count(planned as u64)
        )],
    };
    if !record.networks.is_empty() {
        warnings.push("The table is of the run's end before it went on.".to_owned());
    }
    warnings
}

fn table(networks: &[Network]) -> Table {
    let row = |row: &Network| {
        vec![
            row.network.clone(),
            row.top1.map(|top1| format!("{top1:.2} %")).unwrap_or_default(),
            row.parameters.map(count).unwrap_or_default(),
            row.multiply_adds.map(multiply_adds).unwrap_or_default(),
            row.file_bytes.map(bytes).unwrap_or_default(),
            row.seconds
                .map(|seconds| format!("{seconds:.0} s"))
                .unwrap_or_default(),
        ]
    };
    let columns = [
        "network",
        "top-1",
        "parameters",
        "multiply-adds",
        "file",
        "training",
    ];
    Table {
        columns: columns.map(str::to_owned).to_vec(),
        numbers_from: 1,
        rows: networks.iter().map(row).collect(),
        best: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_interrupted_run_has_a_page_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(
            path.join("run.toml"),
            "student = \"resnet14\"\n[[plugin]]\nname = \"kd\"\n",
        )
        .unwrap();
        fs::write(
            path.join("metrics.jsonl"),
            concat!(
                r#"{"event":"start","epochs":2,"steps_per_epoch":2000,"step":0}"#,
                "\n",
                r#"{"event":"step","step":1234,"epoch":1,"terms":{"ce":2.0},"learning_rate":0.1,"rate":50}"#,
                "\n",
                r#"{"event":"stopped","step":1234,"reason":"Ctrl-C"}"#,
                "\n",
            ),
        )
        .unwrap();
        let html = fs::read_to_string(write(path).unwrap()).unwrap();
        assert!(html.contains("<h1>resnet14 on glyphs: kd</h1>"), "{html}");
        assert!(
            html.contains("Interrupted after step 1,234 (Ctrl-C): not finished."),
            "{html}"
        );
        assert!(!html.contains("<table>"), "{html}");
    }

    #[test]
    fn the_table_says_what_the_file_says_and_leaves_out_what_it_lacks() {
        let network = Network {
            network: "resnet8".to_owned(),
            top1: Some(42.154),
            parameters: Some(78_692),
            ..Network::default()
        };
        assert_eq!(
            table(&[network]).rows,
            [["resnet8", "42.15 %", "78,692", "", "", ""].map(str::to_owned)]
        );
    }
}
