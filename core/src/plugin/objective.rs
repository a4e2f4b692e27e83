//! What a run minimises, and what that takes: what all its methods together have asked for.

use indexmap::{IndexMap, IndexSet};

use super::prepared::Prepared;
use crate::graph::Graph;
use crate::schedule::Schedule;
use crate::task::cohort::Chosen;

/// A network that a method trains beside the students and that is never exported: a regressor, a
/// gate.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    /// Its name, under which [`Step::auxiliary`](super::Step::auxiliary) finds it.
    pub name: String,
    /// The network.
    pub graph: Graph,
}

/// A part of training before the main one, in which one method alone is at work; it starts with a
/// fresh optimizer, and so does what follows it.
///
/// Networks run only as far as the stage's values need; there are no logits, and nothing is
/// evaluated.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name, under which the method finds it in [`Step::stage`](super::Step::stage).
    pub name: String,
    /// The method.
    pub plugin: &'static str,
    /// Passes over the training data.
    pub epochs: usize,
    /// The learning rate over the stage's epochs; `None` takes the run's own, its schedule
    /// stretched over the stage.
    pub learning_rate: Option<Schedule>,
    /// Values of the students that the stage needs.
    pub student_values: Vec<String>,
    /// Values of the teachers that the stage needs.
    pub teacher_values: Vec<String>,
}

/// In which order the members of a cohort are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// All of them in one step.
    #[default]
    Together,
    /// One after the other, each seeing what those before it have become.
    InTurn,
}

/// A method that is ready for its first step.
#[derive(Debug)]
pub struct Method {
    /// The name under which it is registered.
    pub name: &'static str,
    /// Its hooks, and what it knows of this run.
    pub hooks: Box<dyn Prepared>,
}

/// The auxiliary network that weighs the members of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name among the auxiliary networks.
    pub auxiliary: String,
    /// The value of the first student that it reads: the one that all branches share.
    pub fork: String,
}

/// What a run minimises, with the networks and values that this takes: what its
/// [`Plan`](super::Plan) becomes once every method was asked.
#[derive(Debug, Default)]
pub struct Objective {
    /// The methods, in the order in which they were named.
    pub methods: Vec<Method>,
    /// Formulas of the loss terms, by name.
    pub terms: IndexMap<String, String>,
    /// Whether a method brings the loss on the true classes; where none does, it is added.
    pub brings_task_term: bool,
    /// Values asked of every teacher beside its logits.
    pub teacher_taps: IndexSet<String>,
    /// Values asked of each student beside its logits.
    pub student_taps: Vec<IndexSet<String>>,
    /// Networks trained beside the students.
    pub auxiliaries: Vec<Auxiliary>,
    /// The stages before the main one.
    pub stages: Vec<Stage>,
    /// What weighs the ensemble; without it, that is the mean of the members' probabilities.
    pub gate: Option<Gate>,
    /// In which order the members are updated.
    pub turns: Turns,
    /// The run's result.
    pub chosen: Chosen,
    /// Whether a method asked for the gradient of the loss on the true classes by itself.
    pub separate_task_gradient: bool,
    /// The method that keeps momentum and weight decay itself.
    pub keeper_of_momentum: Option<&'static str>,
}
