//! A method at work: the hooks of a step.

use burn::tensor::Tensor;

use super::error::PluginError;
use super::step::{Step, Term, Update};

/// Metrics of one finished epoch, by name (`valid.top1`, `train.loss`, …).
pub type EpochMetrics = indexmap::IndexMap<String, f64>;

/// A method at work in one run: it owns what the plan told it, and what it remembers from step to
/// step.
pub trait Prepared: std::fmt::Debug + Send {
    /// Derives values from outputs and taps. Must not keep tensors of the step.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn forward(&mut self, _step: &mut Step<'_>) -> Result<(), PluginError> {
        Ok(())
    }

    /// The method's loss terms for this step, among those that it declared. In a rehearsal
    /// ([`Step::is_rehearsal`]) nothing may be remembered.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError>;

    /// May change gradients and the learning rate before the optimizer sees them.
    ///
    /// # Errors
    /// Gradients that are missing.
    fn optimizer_step(&mut self, _update: &mut Update<'_>) -> Result<(), PluginError> {
        Ok(())
    }

    /// Sees the epoch's metrics.
    ///
    /// # Errors
    /// Metrics that the method cannot go on with.
    fn epoch_end(&mut self, _metrics: &EpochMetrics) -> Result<(), PluginError> {
        Ok(())
    }

    /// What the method must remember from step to step to go on exactly: tensors by name. They are
    /// kept in every checkpoint.
    fn state(&self) -> Vec<(String, Tensor<1>)> {
        Vec::new()
    }

    /// Takes back what [`state`](Self::state) gave when the checkpoint was written.
    fn restore(&mut self, _state: Vec<(String, Tensor<1>)>) {}
}
