//! A method as it is configured: the hooks before the first step.

use super::cohort::Cohort;
use super::error::PluginError;
use super::plan::Plan;
use super::prepared::Prepared;
use super::record::Recorded;
use super::step::Term;
use crate::graph::Graph;

/// A distillation method as it is configured.
pub trait Plugin: std::fmt::Debug + Send + Sync {
    /// The name under which it is registered.
    fn name(&self) -> &'static str;

    /// The students that the method trains together; `None` where each is trained for itself.
    fn cohort(&self) -> Option<Cohort> {
        None
    }

    /// Changes a student's graph before its network is built: puts operators behind values or
    /// before weights. Called once for each student, in the order of the methods; a student that is
    /// restored from a checkpoint is changed in the same way.
    ///
    /// # Errors
    /// A graph that the method cannot change.
    fn rewrite(&self, _graph: &mut Graph) -> Result<(), PluginError> {
        Ok(())
    }

    /// Declares what the method needs of this run, and gives the method as it will be at work.
    /// Called once; everything asked for is there in every later hook.
    ///
    /// # Errors
    /// Whatever makes the method impossible here: no teacher, a tap that does not exist, shapes
    /// that do not fit.
    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError>;

    /// The terms on recorded tensors, through the same loss functions that training uses.
    ///
    /// # Errors
    /// A tensor that the record lacks or that has another shape.
    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError>;
}
