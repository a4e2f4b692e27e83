//! What a run is made of and what it leaves.

use std::path::PathBuf;

use burn::tensor::Device;
use indexmap::IndexMap;

use super::config::TrainConfig;
use super::distillation::Frozen;
use super::gradient_report::GradientReport;
use crate::network::Network;
use crate::plugin::{Chosen, Objective, Students};
use crate::task::cohort::CohortEvaluation;

/// A run before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The students and the networks that hold them.
    pub students: Students,
    /// The teachers.
    pub teachers: Vec<Frozen>,
    /// What they learn by, prepared for these students and teachers.
    pub objective: Objective,
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
    /// The auxiliary networks, by name.
    pub auxiliaries: IndexMap<String, Network>,
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
