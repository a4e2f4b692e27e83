//! One training of a run, and what it leaves: networks, files, rows of the comparison.

use burn::tensor::Device;
use potstill_core::data::Loader;
use potstill_core::network::Network;
use potstill_core::plugin::{Chosen, Objective, Students};
use potstill_core::train::{
    Event, Frozen, GradientReport, Interrupter, Observer, Outcome, Setup, TrainError, Trained, train,
};
use potstill_exporters::ExportPrecision;

use crate::comparison::Row;
use crate::config::RunConfig;
use crate::data::Data;
use crate::error::RunError;
use crate::folder::RunFolder;
use crate::selection::Selection;
use crate::student_file::TrainedStudent;

/// A training: what was asked for, on what, where.
pub(crate) struct Training<'a> {
    /// What was asked for.
    pub config: &'a RunConfig,
    /// The data.
    pub data: &'a Data,
    /// Batches to learn from.
    pub train: &'a Loader,
    /// Batches for evaluation.
    pub test: &'a Loader,
    /// Where to train.
    pub device: &'a Device,
    /// What it leaves.
    pub folder: &'a RunFolder,
    /// Whether it goes on from its last checkpoint, if there is one.
    pub resume: bool,
}

/// Who is trained, by what.
pub(crate) struct Supervised {
    /// The students and the networks that hold them.
    pub students: Students,
    /// What they learn by.
    pub objective: Objective,
    /// Who teaches them.
    pub teachers: Vec<Frozen>,
    /// Which of them is the result; `None` leaves it to the methods.
    pub chosen: Option<Chosen>,
}

impl Training<'_> {
    /// Trains, with checkpoints and metrics in the folder, and exports the best and the last result
    /// under `name`. The rows are the result's and, where there are several members, each member's.
    /// `None` where the training was interrupted.
    ///
    /// # Errors
    /// What stops a training, an export that fails its check, a disk that refuses.
    pub fn carry_out(
        &self,
        supervised: Supervised,
        name: &str,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Option<(Vec<Row>, GradientReport)>, RunError> {
        let Supervised {
            students,
            objective,
            teachers,
            chosen,
        } = supervised;
        let gate = objective.gate.clone();
        let checkpoint = self.folder.checkpoint_step()?.filter(|_| self.resume);
        let setup = Setup {
            students: students.clone(),
            teachers,
            objective,
            config: self.config.training.clone(),
            chosen,
            seed: self.config.seed,
            device: self.device.clone(),
            folder: Some(self.folder.path().to_owned()),
            resume: checkpoint.is_some(),
        };
        let mut metrics = self.folder.metrics(checkpoint.unwrap_or(0))?;
        let mut both = Both(observer, &mut metrics);
        let outcome = train(setup, self.train, self.test, interrupter, &mut both)?;
        metrics.finish()?;
        if outcome.interrupted {
            return Ok(None);
        }
        let selection = Selection {
            students: &students,
            gate,
        };
        let rows = self.finish(&selection, &outcome, name)?;
        Ok(Some((rows, outcome.gradients)))
    }

    fn finish(&self, selection: &Selection<'_>, outcome: &Outcome, name: &str) -> Result<Vec<Row>, RunError> {
        let top1 = |trained: &Trained| {
            let evaluation = trained.evaluation.as_ref()?;
            Some(evaluation.result().top1)
        };
        let write = |trained: &Trained, graph, top1, file| {
            let student = TrainedStudent {
                config: self.config,
                data: self.data,
                graph,
                member: selection.member_name(trained),
                top1,
            };
            student.write(ExportPrecision::Fp32, &self.folder.join(file))
        };
        let graph = selection.graph(&outcome.best)?;
        let best = top1(&outcome.best).unwrap_or(0.0);
        let written = write(&outcome.best, &graph, Some(best), RunFolder::STUDENT)?;
        let last = selection.graph(&outcome.last)?;
        write(&outcome.last, &last, top1(&outcome.last), RunFolder::LAST_STUDENT)?;
        let network = Network::new(graph.clone(), self.device).map_err(TrainError::from)?;
        let logits = &graph.outputs[0].name;
        let found = self
            .data
            .retrieval(&network, logits, self.config.threads, self.device)?;
        let row = Row::student(name, &graph, best, written.bytes, outcome.seconds)?;
        let mut rows = vec![row.finding(found)];
        if let Some(evaluation) = &outcome.best.evaluation
            && let Some(ensemble) = evaluation.ensemble
        {
            for (member, student) in evaluation.members.iter().zip(&selection.students.members) {
                rows.push(Row::member(&member.name, &student.graph, member.evaluation.top1)?);
            }
            rows.push(Row::ensemble(selection.students, ensemble.top1)?);
        }
        Ok(rows)
    }
}

/// Tells two observers.
struct Both<'a>(&'a mut dyn Observer, &'a mut dyn Observer);

impl Observer for Both<'_> {
    fn observe(&mut self, event: &Event) {
        self.0.observe(event);
        self.1.observe(event);
    }
}
