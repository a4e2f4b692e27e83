//! `potstill bench`: how fast an ONNX file runs.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use potstill_core::graph::summarise;
use potstill_exporters::runtime::{Runtime, pictures};
use potstill_run::RunError;
use potstill_teachers::decode;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Format, bytes, json, multiply_adds, table};

/// Measure how fast ONNX files run in tract, on one thread, beside their size and multiply-adds.
#[derive(Debug, Args)]
pub struct Bench {
    /// ONNX files.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Pictures of a run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Runs that are measured.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// Runs before those.
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u32,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    bytes: usize,
    multiply_adds: u64,
    runtime: &'static str,
    threads: usize,
    batch_size: u32,
    repetitions: u32,
    median_ms: f64,
    p95_ms: f64,
}

impl Bench {
    /// Measures each file and prints.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let reports = self
            .file
            .iter()
            .map(|path| self.measure(path.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        if self.format == Format::Json {
            return json(out, &reports);
        }
        let columns = ["file", "size", "multiply-adds", "pictures", "median", "95 %"];
        let mut rows = table(columns, 1);
        for report in &reports {
            rows.add_row([
                report.file.display().to_string(),
                bytes(report.bytes as u64),
                multiply_adds(report.multiply_adds),
                report.batch_size.to_string(),
                format!("{:.3} ms", report.median_ms),
                format!("{:.3} ms", report.p95_ms),
            ]);
        }
        writeln!(out, "{rows}")?;
        Ok(())
    }

    fn measure(&self, path: PathBuf) -> Result<Report, CliError> {
        let content = std::fs::read(&path).map_err(|source| RunError::read(&path, source))?;
        let graph = decode(&content, path.parent()).map_err(|source| RunError::Import {
            path: path.clone(),
            source,
        })?;
        let summary = summarise(&graph).map_err(|source| RunError::Network {
            path: path.clone(),
            source,
        })?;
        let runtime = Runtime::of(&content, &graph, self.batch_size as usize)?;
        let feeds: Vec<Vec<f32>> = runtime
            .shapes()
            .iter()
            .map(|dims| pictures(dims.iter().product()))
            .collect();
        for _ in 0..self.warm_up {
            runtime.run(&feeds)?;
        }
        let mut times = Vec::with_capacity(self.repetitions as usize);
        for _ in 0..self.repetitions {
            let start = Instant::now();
            runtime.run(&feeds)?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(Report {
            bytes: content.len(),
            multiply_adds: summary.multiply_adds,
            runtime: "tract",
            threads: 1,
            batch_size: self.batch_size,
            repetitions: self.repetitions,
            median_ms: quantile(&times, 0.5),
            p95_ms: quantile(&times, 0.95),
            file: path,
        })
    }
}

/// The time in milliseconds that this share of the sorted runs does not exceed.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let time = sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default();
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_time_that_so_many_runs_do_not_exceed() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.5), 10.0);
        assert_eq!(quantile(&times, 0.95), 19.0);
        assert_eq!(quantile(&times[..1], 0.95), 1.0);
    }
}
