//! `potstill export`: the student of a run as an ONNX file, written anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::train::checkpoint::{Checkpoints, Loaded, Which};
use potstill_core::train::distillation::{Curriculum, Distillation};
use potstill_exporters::export::Written;
use potstill_exporters::{Export, Provenance};

use crate::config::RunConfig;
use crate::error::CliError;
use crate::prepare::{self, Data};
use crate::preprocessing;
use crate::run_folder::RunFolder;
use crate::table::bytes;

/// Write the student of a run as ONNX again: another checkpoint, another operator set.
#[derive(Debug, Args)]
pub struct ExportRun {
    /// Folder of the run.
    run: PathBuf,
    /// ONNX file to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Which checkpoint.
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: CheckpointName,
    /// ONNX's operator set; the run's where not given.
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Keep BatchNorm as nodes of its own.
    #[arg(long)]
    no_fold: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CheckpointName {
    Best,
    Last,
}

impl ExportRun {
    /// Exports and says what was written.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let (folder, mut config) = RunFolder::existing(&self.run)?;
        config.export.opset = self.opset.unwrap_or(config.export.opset);
        config.export.fold &= !self.no_fold;
        let data = Data::open(&config.data)?.whitened_by(&folder)?;
        let picture = data.train_loader(&config, &Device::flex())?.image_shape();
        let graph = prepare::student(&config, data.classes(), picture)?;
        let which = match self.checkpoint {
            CheckpointName::Best => Which::Best,
            CheckpointName::Last => Which::Last,
        };
        let checkpoints = Checkpoints::new(folder.path());
        let Loaded { module, state, .. } = checkpoints.load(which)?;
        let network = Network::new(graph, &Device::flex()).map_err(potstill_core::train::TrainError::from)?;
        let student = Distillation::new(vec![network], Vec::new(), Curriculum::default());
        let student = checkpoints.put(which, module, student)?;
        let trained = student.students[0].to_graph();
        // A checkpoint knows the best accuracy so far, which is its own if it is the best one.
        let top1 = state.best.filter(|_| which == Which::Best);
        let written = export_student(&config, &trained, &data, top1, &self.output)?;
        writeln!(
            out,
            "{}: {}, opset {}, {} BatchNorms folded; tract agrees to {:.1e}",
            self.output.display(),
            bytes(written.bytes as u64),
            config.export.opset,
            written.folded,
            written.difference.unwrap_or(f64::NAN)
        )?;
        Ok(())
    }
}

/// Writes a trained student with what whoever deploys it must know.
///
/// # Errors
/// An export that fails its check, a disk that refuses.
pub fn export_student(
    config: &RunConfig,
    graph: &Graph,
    data: &Data,
    top1: Option<f64>,
    path: &Path,
) -> Result<Written, CliError> {
    let mut provenance = Provenance::new();
    let mut say = |key: &str, value: String| {
        provenance.insert(format!("potstill.{key}"), value);
    };
    say("version", env!("CARGO_PKG_VERSION").to_owned());
    say("student", config.student.clone());
    say("data", config.data.name.clone());
    say(
        "classes",
        serde_json::to_string(data.train.classes()).unwrap_or_default(),
    );
    for (key, value) in preprocessing::state(&data.pipeline, path)? {
        say(key, value);
    }
    say("seed", config.seed.to_string());
    say("epochs", config.training.epochs.to_string());
    for (index, plugin) in config.plugins()?.iter().enumerate() {
        say(&format!("plugin.{index}"), plugin.to_string());
    }
    for (index, teacher) in config.teacher.iter().enumerate() {
        let name = teacher
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        say(&format!("teacher.{index}"), name.unwrap_or_default());
    }
    if let Some(top1) = top1 {
        say("top1", format!("{top1:.2}"));
    }
    let export = Export {
        opset: config.export.opset,
        fold: config.export.fold,
        verify: true,
        provenance,
    };
    Ok(export.write(graph, path)?)
}
