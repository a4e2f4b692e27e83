//! `potstill prune`: a network without its least important filters, distilled again from what it
//! was.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use potstill_core::graph::Graph;
use potstill_core::passes::{Criterion, Pruned, prune};
use potstill_core::plugin::PluginSpec;
use potstill_core::train::checkpoint::Which;
use potstill_exporters::{Export, ExportPrecision};
use potstill_run::{Restored, RunConfig, RunError, RunFolder, free_run};
use potstill_teachers::decode_file;

use crate::error::CliError;
use crate::flags::{DataFlags, DeviceFlags, TrainFlags};
use crate::progress::LogFormat;
use crate::table::multiply_adds;
use crate::training::{Closing, carry_out, interrupter};

/// Remove whole filters from a network, with all that depends on them, and distil it again from the
/// network that it was.
///
/// Given a run, trains as that run did, on its data. Given an ONNX file, or an ONNX file as --out,
/// only writes the smaller network, which `distill --student` takes.
#[derive(Debug, Args)]
pub struct Prune {
    /// Folder of the run, or an ONNX file.
    #[arg(value_name = "RUN|FILE")]
    network: PathBuf,
    /// Share of the multiply-adds that may stay, above 0 and below 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    macs: f64,
    /// By what filters are ranked: the sum of their magnitudes, or the factor of the BatchNorm
    /// behind them.
    #[arg(long, value_enum, default_value = "l1")]
    by: CriterionName,
    /// A layer that loses filters keeps a multiple of this many: runtimes compute channels in
    /// blocks, and other widths can cost more than they save.
    #[arg(long, value_name = "N", default_value = "8")]
    round_to: NonZeroUsize,
    /// Folder that the new run leaves, or ONNX file to write.
    #[arg(long, value_name = "DIR|FILE")]
    out: Option<PathBuf>,
    /// Method by which the smaller network is taught; kd where not given.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    plugin: Vec<PluginSpec>,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    training: TrainFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// How progress is told.
    #[arg(long, value_enum, default_value = "human")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CriterionName {
    L1,
    BatchNorm,
}

impl From<CriterionName> for Criterion {
    fn from(name: CriterionName) -> Self {
        match name {
            CriterionName::L1 => Criterion::L1,
            CriterionName::BatchNorm => Criterion::BatchNorm,
        }
    }
}

/// What is taught, and what teaches it, in the folder of the new run.
const PRUNED: &str = "pruned.onnx";
const UNPRUNED: &str = "unpruned.onnx";

impl Prune {
    /// Prunes, and trains where there is a run.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        if !(self.macs > 0.0 && self.macs < 1.0) {
            return Err(RunError::Flag {
                flag: "--macs",
                got: self.macs.to_string(),
                reason: "is no share of the multiply-adds, expected a number above 0 and below 1".to_owned(),
            }
            .into());
        }
        let file = self.out.clone().filter(|path| is_onnx(path));
        if self.network.is_file() {
            let Some(file) = file else {
                return Err(RunError::Flag {
                    flag: "--out",
                    got: self.out.unwrap_or_default().display().to_string(),
                    reason:
                        "is no ONNX file; a network without its run is only written, as by --out pruned.onnx"
                            .to_owned(),
                }
                .into());
            };
            let graph = decode_file(&self.network).map_err(|source| RunError::Import {
                path: self.network.clone(),
                source,
            })?;
            self.write_pruned(out, &graph, &file)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (folder, mut config) = RunFolder::existing(&self.network)?;
        self.data.apply(&mut config.data);
        let restored = Restored::of(&folder, config, Which::Best, None)?;
        if let Some(file) = file {
            self.write_pruned(out, &restored.graph, &file)?;
            return Ok(ExitCode::SUCCESS);
        }
        let config = self.again(&restored)?;
        config.training.check()?;
        std::fs::create_dir_all(&config.out).map_err(|source| RunError::write(&config.out, source))?;
        let unpruned = config.out.join(UNPRUNED);
        restored.student().write(ExportPrecision::Fp32, &unpruned)?;
        self.write_pruned(out, &restored.graph, &config.out.join(PRUNED))?;
        out.flush()?;
        let (folder, outcome) = carry_out(config.plan()?, false, self.log_format, &interrupter)?;
        let closing = Closing {
            folder: &folder,
            log_format: self.log_format,
            balance: None,
        };
        closing.tell(outcome, out)
    }

    /// The run that teaches the smaller network: the old one's data and training, the old student
    /// as the teacher.
    fn again(&self, restored: &Restored) -> Result<RunConfig, CliError> {
        let old = &restored.config;
        let name = self
            .network
            .file_name()
            .map_or("run".into(), |name| name.to_string_lossy());
        let folder = self
            .out
            .clone()
            .unwrap_or_else(|| free_run(&format!("{name}-pruned")));
        if folder.join("run.toml").exists() {
            return Err(RunError::FolderTaken { path: folder }.into());
        }
        let kd = PluginSpec {
            name: "kd".to_owned(),
            options: toml::Table::new(),
        };
        let plugin = if self.plugin.is_empty() {
            vec![kd]
        } else {
            self.plugin.clone()
        };
        let mut config = RunConfig {
            student: vec![folder.join(PRUNED).display().to_string()],
            split: Vec::new(),
            member: None,
            teacher: vec![folder.join(UNPRUNED).into()],
            plugin,
            baseline: false,
            out: folder,
            ..old.clone()
        };
        self.training.apply(&mut config.training)?;
        if let Some(device) = &self.device.device {
            config.device.clone_from(device);
        }
        config.threads = self.device.threads.or(config.threads);
        Ok(config)
    }

    /// Writes the smaller network, with BatchNorm as nodes of its own where it has them, since it
    /// is to be trained.
    fn write_pruned(&self, out: &mut impl Write, graph: &Graph, path: &Path) -> Result<Pruned, CliError> {
        let pruned =
            prune(graph, self.macs, self.by.into(), self.round_to).map_err(|source| RunError::Network {
                path: self.network.clone(),
                source,
            })?;
        let export = Export {
            opset: graph.model.opset(),
            fold: false,
            ..Export::default()
        };
        export.write(&pruned.graph, path)?;
        let ([before, after], [filters, left]) = (pruned.multiply_adds, pruned.filters);
        let line = format!(
            "{}: multiply-adds {} of {} ({:.1} %), filters {left} of {filters}",
            path.display(),
            multiply_adds(after),
            multiply_adds(before),
            100.0 * after as f64 / before.max(1) as f64,
        );
        match self.log_format {
            LogFormat::Human => writeln!(out, "{line}")?,
            LogFormat::Json => writeln!(
                out,
                "{}",
                serde_json::json!({"event": "pruned", "file": path, "multiply_adds": [before, after], "filters": [filters, left]})
            )?,
        }
        Ok(pruned)
    }
}

fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}
