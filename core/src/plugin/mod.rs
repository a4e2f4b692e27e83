//! Distillation methods as plugins.
//!
//! The core runs the loop and calls hooks; what a method is stands in one file of `potstill-plugins`, registered with [`inventory`]. Several
//! plugins can be on at once: their terms add up, each under its own name.
//!
//! # Lifecycle
//!
//! | hook | when | what a plugin does there |
//! | --- | --- | --- |
//! | [`cohort`](Plugin::cohort) | once, before the networks are built | says which students are trained together |
//! | [`rewrite`](Plugin::rewrite) | once for each student, before its network is built | puts operators into the student's graph |
//! | [`prepare`](Plugin::prepare) | once, before training | declares terms, taps, auxiliary networks, stages; refuses what it cannot work with |
//! | [`forward`](Plugin::forward) | each step, after all networks ran | derives further values for the losses of others or its own |
//! | [`loss`](Plugin::loss) | each step, after every plugin's `forward` | returns named, weighted terms |
//! | [`optimizer_step`](Plugin::optimizer_step) | each step, between gradients and optimizer | changes gradients or the learning rate |
//! | [`epoch_end`](Plugin::epoch_end) | after each epoch's evaluation | sees the metrics |
//! | [`recorded`](Plugin::recorded) | `potstill check` only | computes its terms from recorded tensors, without networks |

mod cohort;
mod ensemble;
mod error;
mod library;
mod options;
mod plan;
mod record;
mod registry;
mod step;

pub use cohort::{Cohort, Structure, Student, Students};
pub use ensemble::gated;
pub use error::PluginError;
pub use library::{LibraryError, STAMP, STAMP_SYMBOL, Stamp, load_library};
pub use options::{PluginSpec, parse_options, values};
pub use plan::{Auxiliary, Chosen, Observation, Plan, Stage, Turns};
pub use record::{CheckReport, Comparison, Recorded, Tolerance, check};
pub use registry::{Paper, PluginEntry, PluginOption, entries, find};
pub use step::{Member, Step, Term, Time, Update};

use burn::tensor::Tensor;

use crate::graph::Graph;

/// Metrics of one finished epoch, by name (`valid.top1`, `train.loss`, …).
pub type EpochMetrics = indexmap::IndexMap<String, f64>;

/// A distillation method. Its fields are its configuration; what it must remember from step to step it keeps behind a lock.
pub trait Plugin: std::fmt::Debug + Send + Sync {
    /// The name under which it is registered.
    fn name(&self) -> &'static str;

    /// The students that the method trains together; `None` where each is trained for itself.
    fn cohort(&self) -> Option<Cohort> {
        None
    }

    /// Changes a student's graph before its network is built: puts operators behind values or before weights. Called once for each student, in the
    /// order of the methods; a student that is restored from a checkpoint is changed in the same way.
    ///
    /// # Errors
    /// A graph that the method cannot change.
    fn rewrite(&self, _graph: &mut Graph) -> Result<(), PluginError> {
        Ok(())
    }

    /// Declares what the method needs. Called once; everything asked for is there in every later hook.
    ///
    /// # Errors
    /// Whatever makes the method impossible here: no teacher, a tap that does not exist, shapes that do not fit.
    fn prepare(&self, plan: &mut Plan) -> Result<(), PluginError>;

    /// Derives values from outputs and taps. Must not keep tensors of the step.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn forward(&self, _step: &mut Step<'_>) -> Result<(), PluginError> {
        Ok(())
    }

    /// The method's loss terms for this step, among those that [`prepare`](Self::prepare) declared.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn loss(&self, step: &Step<'_>) -> Result<Vec<Term>, PluginError>;

    /// May change gradients and the learning rate before the optimizer sees them.
    ///
    /// # Errors
    /// Gradients that are missing.
    fn optimizer_step(&self, _update: &mut Update<'_>) -> Result<(), PluginError> {
        Ok(())
    }

    /// What the method must remember from step to step to go on exactly: tensors by name. They are kept in every checkpoint.
    fn state(&self) -> Vec<(String, Tensor<1>)> {
        Vec::new()
    }

    /// Takes back what [`state`](Self::state) gave when the checkpoint was written.
    fn restore(&self, _state: Vec<(String, Tensor<1>)>) {}

    /// Sees the epoch's metrics.
    ///
    /// # Errors
    /// Metrics that the method cannot go on with.
    fn epoch_end(&self, _metrics: &EpochMetrics) -> Result<(), PluginError> {
        Ok(())
    }

    /// The terms on recorded tensors, through the same loss functions that training uses.
    ///
    /// # Errors
    /// A tensor that the record lacks or that has another shape.
    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError>;
}
