//! A run: what it is made of, what it leaves, and how it starts. `run` is its loop.

use std::path::PathBuf;

use burn::tensor::Device;

use super::checkpoint::Checkpoints;
use super::distillation::{Distillation, Frozen};
use super::evaluation::CohortEvaluation;
use super::gradient_report::GradientReport;
use super::interrupter::Interrupter;
use super::observer::Observer;
use super::run::Run;
use super::{TrainConfig, TrainError};
use crate::data::Loader;
use crate::graph::Graph;
use crate::network::Network;
use crate::plugin::{Chosen, Plan, Plugin, Stage, Students, Turns};

/// A run before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The students and the networks that hold them.
    pub students: Students,
    /// The teachers.
    pub teachers: Vec<Frozen>,
    /// The methods.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// How to train.
    pub config: TrainConfig,
    /// Which member is the run's result; `None` leaves it to the methods.
    pub chosen: Option<Chosen>,
    /// Where random numbers on the device start.
    pub seed: u64,
    /// Where to train, without autodiff.
    pub device: Device,
    /// Where checkpoints go; `None` keeps none.
    pub folder: Option<PathBuf>,
    /// Goes on from the folder's last checkpoint.
    pub resume: bool,
}

/// Networks as a run left them.
#[derive(Debug)]
pub struct Trained {
    /// The networks that hold the students.
    pub students: Vec<Network>,
    /// The auxiliary networks, in the plan's order.
    pub auxiliaries: Vec<Network>,
    /// What they get right; `None` before the first epoch's end.
    pub evaluation: Option<CohortEvaluation>,
}

/// A run that is over or was stopped.
#[derive(Debug)]
pub struct Outcome {
    /// At the end.
    pub last: Trained,
    /// At the best validation accuracy.
    pub best: Trained,
    /// The mean of all gradient reports.
    pub gradients: GradientReport,
    /// Steps done.
    pub steps: usize,
    /// Whether it was interrupted, and can be resumed.
    pub interrupted: bool,
    /// Seconds spent in steps of this part of the run.
    pub seconds: f64,
}

/// A run.
#[derive(Debug)]
pub struct Trainer {
    pub(super) model: Distillation,
    pub(super) names: Vec<String>,
    pub(super) stages: Vec<Stage>,
    pub(super) turns: Turns,
    pub(super) chosen: Chosen,
    pub(super) config: TrainConfig,
    pub(super) seed: u64,
    pub(super) device: Device,
    pub(super) checkpoints: Option<Checkpoints>,
    pub(super) resume: bool,
}

impl Trainer {
    /// Checks the configuration, asks the plugins, puts the networks on the device.
    ///
    /// # Errors
    /// A setting outside its range, a student whose classes do not fit, what a plugin refuses.
    pub fn new(setup: Setup, classes: usize) -> Result<Self, TrainError> {
        let Setup {
            students,
            teachers,
            plugins,
            config,
            chosen,
            seed,
            device,
            folder,
            resume,
        } = setup;
        config.check()?;
        let taught: Vec<Graph> = teachers
            .iter()
            .map(|teacher| teacher.network.graph().clone())
            .collect();
        let plan = Plan::prepared(&students, &taught, &plugins, classes, config.epochs)?;
        if let Some(plugin) = plan.keeper_of_momentum() {
            config.check_plain_sgd(plugin)?;
        }
        for observation in &plan.students {
            let dims = observation.dims(&observation.logits)?;
            let got = dims.last().copied().unwrap_or(0);
            if dims.len() != 2 || got != classes {
                return Err(TrainError::Classes {
                    student: observation.name.clone(),
                    got,
                    expected: classes,
                });
            }
        }
        let names = students
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect();
        let (stages, turns) = (plan.stages().to_vec(), plan.turns());
        let chosen = chosen.unwrap_or(plan.chosen());
        let model = Distillation::new(&students, &plan, teachers, plugins, config.precision, &device)?;
        let checkpoints = folder.as_deref().map(Checkpoints::new);
        Ok(Self {
            model,
            names,
            stages,
            turns,
            chosen,
            config,
            seed,
            device,
            checkpoints,
            resume,
        })
    }

    /// Trains on one loader, evaluates on another. `interrupter` stops it after a step.
    ///
    /// # Errors
    /// A loss that is no number, data that cannot be read, a disk that is full.
    pub fn run(
        self,
        train: &Loader,
        valid: &Loader,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        let resume = self.resume;
        let mut run = Run::new(self, train.num_batches());
        if resume {
            run.restore()?;
        }
        run.train(train, valid, interrupter, observer)
    }
}
