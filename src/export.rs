//! `potstill export`: the student of a run as an ONNX file, written anew.

use std::io::Write;
use std::path::PathBuf;

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::plugin::{Chosen, Plan, PluginSpec};
use potstill_core::train::checkpoint::{Checkpoints, Which};
use potstill_core::train::{TrainError, Trained};

use crate::cohort;
use crate::error::CliError;
use crate::prepare::Data;
use crate::run_folder::RunFolder;
use crate::student_file::export_student;
use crate::table::bytes;
use crate::training::{self, Pupils};

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
    /// Which of several students: one's name, best or ensemble; the run's result where not given.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
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
        let mut plugins = config
            .plugins()?
            .iter()
            .map(PluginSpec::build)
            .collect::<Result<Vec<_>, _>>()?;
        let students = cohort::students(&config, &plugins, data.classes(), picture)?;
        let which = match self.checkpoint {
            CheckpointName::Best => Which::Best,
            CheckpointName::Last => Which::Last,
        };
        let checkpoints = Checkpoints::new(folder.path());
        let loaded = checkpoints.load(which)?;
        let put = |graphs: &[Graph], record| {
            let networks = graphs
                .iter()
                .map(|graph| Network::new(graph.clone(), &Device::flex()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(TrainError::from)?;
            checkpoints.put(which, record, networks)
        };
        let networks = put(&students.networks, loaded.students)?;
        let asked = match &self.member {
            Some(_) => {
                config.member.clone_from(&self.member);
                cohort::chosen(&config, &students)?
            }
            None => None,
        };
        let mut evaluation = loaded.state.best;
        if let (Some(evaluation), Some(asked)) = (&mut evaluation, asked) {
            evaluation.choose(asked);
        }
        let chosen = evaluation.as_ref().map(|evaluation| evaluation.chosen);
        let (mut auxiliaries, mut gate) = (Vec::new(), None);
        if chosen == Some(Chosen::Ensemble) {
            // Methods that make no cohort may need teachers, which are not opened here.
            plugins.retain(|plugin| plugin.cohort().is_some());
            let plan = Plan::prepared(&students, [], &plugins, data.classes(), config.training.epochs)?;
            let graphs: Vec<Graph> = plan
                .auxiliaries()
                .iter()
                .map(|auxiliary| auxiliary.graph.clone())
                .collect();
            auxiliaries = put(&graphs, loaded.auxiliaries)?;
            gate = training::gate(&plan);
        }
        // A checkpoint knows the best accuracy so far, which is its own if it is the best one.
        let top1 = evaluation
            .as_ref()
            .filter(|_| which == Which::Best)
            .map(|evaluation| evaluation.result().top1);
        let pupils = Pupils {
            students: &students,
            chosen: asked,
            gate,
        };
        let trained = Trained {
            students: networks,
            auxiliaries,
            evaluation,
        };
        let member = pupils.result_name(&trained);
        let graph = pupils.result(&trained)?;
        let written = export_student(&config, &graph, &data, member, top1, &self.output)?;
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
