//! The result of a run that is over or was stopped, from its checkpoints.

use burn::tensor::Device;
use indexmap::IndexMap;
use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::plugin::{Chosen, build, prepare};
use potstill_core::train::checkpoint::{Checkpoints, Which};
use potstill_core::train::{TrainError, Trained};

use crate::config::RunConfig;
use crate::data::Data;
use crate::error::RunError;
use crate::folder::RunFolder;
use crate::selection::Selection;
use crate::student_file::TrainedStudent;
use crate::students::{chosen, students};

/// The result of a run, with what belongs to it.
#[derive(Debug)]
pub struct Restored {
    /// The run's configuration.
    pub config: RunConfig,
    /// Its data.
    pub data: Data,
    /// The student, with the weights of the checkpoint.
    pub graph: Graph,
    /// Which of several students this is.
    pub member: Option<String>,
    /// Its accuracy, where the checkpoint knows it.
    pub top1: Option<f64>,
}

impl Restored {
    /// Reads a checkpoint of the run in `folder`, whose configuration is `config`; `member` asks
    /// for another than the run's result.
    ///
    /// # Errors
    /// A folder without a checkpoint, data that are not there, a member that the run does not have.
    pub fn of(
        folder: &RunFolder,
        mut config: RunConfig,
        which: Which,
        member: Option<&str>,
    ) -> Result<Self, RunError> {
        let data = Data::open(&config.data)?.whitened_by(folder)?;
        let picture = data.picture()?;
        let mut plugins = build(&config.plugin)?;
        let students = students(&config, &plugins, data.classes(), picture)?;
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
        let asked = match member {
            Some(member) => {
                config.member = Some(member.to_owned());
                chosen(&config, &students)?
            }
            None => None,
        };
        let mut evaluation = loaded.state.best;
        if let (Some(evaluation), Some(asked)) = (&mut evaluation, asked) {
            evaluation.choose(asked);
        }
        let result = evaluation.as_ref().map(|evaluation| evaluation.chosen);
        let (mut auxiliaries, mut gate) = (IndexMap::new(), None);
        if result == Some(Chosen::Ensemble) {
            // Methods that make no cohort may need teachers, which are not opened here.
            plugins.retain(|plugin| plugin.cohort().is_some());
            let epochs = config.training.epochs;
            let objective = prepare(&plugins, &students, [], data.classes(), epochs)?;
            let (names, graphs): (Vec<String>, Vec<Graph>) = objective
                .auxiliaries
                .into_iter()
                .map(|auxiliary| (auxiliary.name, auxiliary.graph))
                .unzip();
            auxiliaries = names.into_iter().zip(put(&graphs, loaded.auxiliaries)?).collect();
            gate = objective.gate;
        }
        // A checkpoint knows the best accuracy so far, which is its own if it is the best one.
        let top1 = evaluation
            .as_ref()
            .filter(|_| which == Which::Best)
            .map(|evaluation| evaluation.result().top1);
        let selection = Selection {
            students: &students,
            gate,
        };
        let trained = Trained {
            students: networks,
            auxiliaries,
            evaluation,
        };
        let member = selection.member_name(&trained).map(str::to_owned);
        let graph = selection.graph(&trained)?;
        Ok(Self {
            config,
            data,
            graph,
            member,
            top1,
        })
    }
    /// As a student that can be written.
    pub fn student(&self) -> TrainedStudent<'_> {
        TrainedStudent {
            config: &self.config,
            data: &self.data,
            graph: &self.graph,
            member: self.member.as_deref(),
            top1: self.top1,
        }
    }
}
