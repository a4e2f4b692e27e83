//! One training of a command, and what it leaves: networks, files, rows of the comparison.

use burn::tensor::Device;
use potstill_core::data::Loader;
use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::plugin::{Chosen, Plan, Plugin, Students};
use potstill_core::train::{Frozen, Interrupter, Outcome, Setup, TrainError, Trained, Trainer};
use potstill_exporters::Precision;

use crate::comparison::Row;
use crate::config::RunConfig;
use crate::error::CliError;
use crate::prepare::Data;
use crate::progress::{Both, Progress};
use crate::run_folder::RunFolder;
use crate::student_file::export_student;

/// The auxiliary network that weighs the ensemble, and the shared value that it reads.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Its place among the plan's auxiliary networks.
    index: usize,
    fork: String,
}

/// The gate of a plan that has one.
pub fn gate(plan: &Plan<'_>) -> Option<Gate> {
    let (name, fork) = plan.gate()?;
    let index = plan
        .auxiliaries()
        .iter()
        .position(|auxiliary| auxiliary.name == name)?;
    Some(Gate {
        index,
        fork: fork.to_owned(),
    })
}

/// Who is trained.
pub struct Pupils<'a> {
    /// The students and the networks that hold them.
    pub students: &'a Students,
    /// Which of them is the result; `None` leaves it to the methods.
    pub chosen: Option<Chosen>,
    /// What weighs their ensemble.
    pub gate: Option<Gate>,
}

impl Pupils<'_> {
    /// Which of several students is the run's result; `None` where there is one.
    pub fn result_name(&self, trained: &Trained) -> Option<&str> {
        let members = &self.students.members;
        if members.len() < 2 {
            return None;
        }
        match self.result_member(trained) {
            Some(member) => members.get(member).map(|member| member.name.as_str()),
            None => Some("ensemble"),
        }
    }

    /// The number of the member that is the run's result; `None` for the ensemble.
    fn result_member(&self, trained: &Trained) -> Option<usize> {
        match trained.evaluation.as_ref().map(|evaluation| evaluation.chosen) {
            Some(Chosen::Ensemble) => None,
            Some(Chosen::Member(member)) => Some(member),
            _ if self.students.leader => Some(self.students.members.len() - 1),
            _ => Some(0),
        }
    }

    /// The run's result as one network.
    ///
    /// # Errors
    /// Networks of other students.
    pub fn result(&self, trained: &Trained) -> Result<Graph, CliError> {
        let networks: Vec<Graph> = trained.students.iter().map(Network::to_graph).collect();
        let Some(member) = self.result_member(trained) else {
            let gate = self.gate.as_ref().and_then(|gate| {
                Some((
                    trained.auxiliaries.get(gate.index)?.to_graph(),
                    gate.fork.as_str(),
                ))
            });
            let gate = gate.as_ref().map(|(graph, fork)| (graph, *fork));
            return Ok(self.students.ensemble(&networks, gate)?);
        };
        Ok(self.students.cut(&networks, member)?)
    }
}

/// What all trainings of one command share.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What was asked for.
    pub config: &'a RunConfig,
    /// Batches to learn from.
    pub train: &'a Loader,
    /// Batches for evaluation.
    pub test: &'a Loader,
    /// The number of classes.
    pub classes: usize,
    /// Where to train.
    pub device: &'a Device,
}

impl Job<'_> {
    /// Trains, with checkpoints and metrics in `folder`.
    ///
    /// # Errors
    /// What stops a training.
    #[expect(
        clippy::too_many_arguments,
        reason = "what differs between the trainings of a command"
    )]
    pub fn train(
        &self,
        folder: &RunFolder,
        pupils: &Pupils<'_>,
        plugins: Vec<Box<dyn Plugin>>,
        teachers: Vec<Frozen>,
        resume: bool,
        mut progress: Progress,
        interrupter: &Interrupter,
    ) -> Result<Outcome, CliError> {
        let checkpoint = folder.checkpoint_step()?;
        let setup = Setup {
            students: pupils.students.clone(),
            teachers,
            plugins,
            config: self.config.training.clone(),
            chosen: pupils.chosen,
            seed: self.config.seed,
            device: self.device.clone(),
            folder: Some(folder.path().to_owned()),
            resume: resume && checkpoint.is_some(),
        };
        let trainer = Trainer::new(setup, self.classes)?;
        let mut metrics = folder.metrics(if resume { checkpoint.unwrap_or(0) } else { 0 })?;
        let mut both = Both(&mut progress, &mut metrics);
        let outcome = trainer.run(self.train, self.test, interrupter, &mut both)?;
        metrics.finish()?;
        Ok(outcome)
    }

    /// Exports the best and the last result of a run. The rows are the result's and, where there are several members, each member's.
    ///
    /// # Errors
    /// An export that fails its check, a disk that refuses.
    pub fn finish(
        &self,
        folder: &RunFolder,
        pupils: &Pupils<'_>,
        outcome: &Outcome,
        data: &Data,
        name: &str,
    ) -> Result<Vec<Row>, CliError> {
        let top1 = |trained: &Trained| {
            trained
                .evaluation
                .as_ref()
                .map(|evaluation| evaluation.result().top1)
        };
        let graph = pupils.result(&outcome.best)?;
        let best = top1(&outcome.best).unwrap_or(0.0);
        let file = folder.join("student.onnx");
        let written = export_student(
            self.config,
            &graph,
            data,
            pupils.result_name(&outcome.best),
            Some(best),
            Precision::Fp32,
            &file,
        )?;
        let last = pupils.result(&outcome.last)?;
        let file = folder.join("student-last.onnx");
        export_student(
            self.config,
            &last,
            data,
            pupils.result_name(&outcome.last),
            top1(&outcome.last),
            Precision::Fp32,
            &file,
        )?;
        let network = Network::new(graph.clone(), self.device).map_err(TrainError::from)?;
        let logits = &graph.outputs[0].name;
        let found = data.retrieval(&network, logits, self.config.threads, self.device)?;
        let row = Row::student(name, &graph, best, written.bytes, outcome.seconds)?;
        let mut rows = vec![row.finding(found)];
        if let Some(evaluation) = &outcome.best.evaluation
            && let Some(ensemble) = evaluation.ensemble
        {
            for (member, student) in evaluation.members.iter().zip(&pupils.students.members) {
                rows.push(Row::member(&member.name, &student.graph, member.evaluation.top1)?);
            }
            rows.push(Row::ensemble(pupils.students, ensemble.top1)?);
        }
        Ok(rows)
    }
}
