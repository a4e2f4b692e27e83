//! What a plugin sees of one training step.

use burn::tensor::{Int, Tensor};
use burn_optim::GradientsParams;
use indexmap::IndexMap;

use super::error::PluginError;
use crate::names::nearest;
use crate::network::{Network, Outputs, TapError};
use crate::op::Mode;
use crate::task::classification::is_task_term;
use crate::value::Value;

/// When a step happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// Steps done before this one, from the start of training.
    pub step: usize,
    /// Epochs done in this stage, with the fraction of the current one.
    pub epoch: f64,
    /// Epochs of this stage in all.
    pub epochs: usize,
    /// Pictures of the training set.
    pub pictures: usize,
}

/// What one network gave back in this step.
#[derive(Clone, Debug)]
pub struct Member {
    logits: String,
    outputs: Outputs,
}

impl Member {
    /// What a run gave back, with the name of the logits.
    pub fn new(logits: &str, outputs: Outputs) -> Self {
        Self {
            logits: logits.to_owned(),
            outputs,
        }
    }

    /// `[batch, classes]`
    ///
    /// # Errors
    /// A stage in which there are none.
    pub fn logits(&self) -> Result<Tensor<2>, PluginError> {
        Ok(self.outputs.float(&self.logits)?)
    }

    /// The same values with other logits.
    pub(crate) fn with_logits(&self, logits: Value) -> Self {
        Self {
            logits: self.logits.clone(),
            outputs: self.outputs.with(&self.logits, logits),
        }
    }

    /// The same values, through which no gradient flows.
    pub fn detached(&self) -> Self {
        Self {
            logits: self.logits.clone(),
            outputs: self.outputs.detached(),
        }
    }

    /// A tapped value of rank `D`.
    ///
    /// # Errors
    /// A value that was not asked for, or of another rank.
    pub fn tap<const D: usize>(&self, value: &str) -> Result<Tensor<D>, PluginError> {
        Ok(self.outputs.float(value)?)
    }

    /// A tapped value of any rank.
    ///
    /// # Errors
    /// A value that was not asked for.
    pub fn value(&self, value: &str) -> Result<&Value, PluginError> {
        Ok(self.outputs.get(value)?)
    }
}

/// One training step after all networks ran.
#[derive(Debug)]
pub struct Step<'a> {
    /// The batch's true classes, `[batch]`.
    pub labels: Tensor<1, Int>,
    /// The pictures' numbers in the training set, for methods that remember something of each.
    pub indices: &'a [usize],
    /// The teachers, without gradients.
    pub teachers: &'a [Member],
    /// The students.
    pub students: &'a [Member],
    /// When this is.
    pub time: Time,
    /// The stage before the main one that this is in.
    pub stage: Option<&'a str>,
    /// The value at which the students part, where they are branches; a method that asked for it
    /// finds it among the first student's.
    pub fork: Option<&'a str>,
    /// Where the members are updated in turn, whose turn it is: only its terms count.
    pub turn: Option<usize>,
    mode: Mode,
    auxiliaries: &'a IndexMap<String, Network>,
    derived: IndexMap<String, Value>,
}

impl<'a> Step<'a> {
    /// A step of the main stage over what the networks gave back in `mode`.
    pub fn new(
        labels: Tensor<1, Int>,
        teachers: &'a [Member],
        students: &'a [Member],
        auxiliaries: &'a IndexMap<String, Network>,
        time: Time,
        mode: Mode,
    ) -> Self {
        Self {
            labels,
            indices: &[],
            teachers,
            students,
            time,
            stage: None,
            fork: None,
            turn: None,
            mode,
            auxiliaries,
            derived: IndexMap::new(),
        }
    }

    /// The students' logits, `[batch, classes]` each.
    ///
    /// # Errors
    /// A stage in which there are none.
    pub fn student_logits(&self) -> Result<Vec<Tensor<2>>, PluginError> {
        self.students.iter().map(Member::logits).collect()
    }

    /// The teachers' logits, `[batch, classes]` each.
    ///
    /// # Errors
    /// A stage in which there are none.
    pub fn teacher_logits(&self) -> Result<Vec<Tensor<2>>, PluginError> {
        self.teachers.iter().map(Member::logits).collect()
    }

    /// Whether a member's terms count in this step.
    pub fn is_turn_of(&self, member: usize) -> bool {
        self.turn.is_none_or(|turn| turn == member)
    }

    /// Whether this only looks at what a step would be, as the gradient report does: nothing may be
    /// remembered of it.
    pub fn is_rehearsal(&self) -> bool {
        self.mode == Mode::Rehearsal
    }

    /// Runs an auxiliary network.
    ///
    /// # Errors
    /// A network that was not planned, or an input that does not fit.
    pub fn auxiliary(&self, name: &str, input: Value) -> Result<Outputs, PluginError> {
        let unknown = || TapError::NotTapped {
            value: name.to_owned(),
        };
        let network = self.auxiliaries.get(name).ok_or_else(unknown)?;
        Ok(network.forward(input, &[], self.mode)?)
    }

    /// The first output of an auxiliary network, of rank `D`.
    ///
    /// # Errors
    /// As [`auxiliary`](Self::auxiliary), or an output of another rank.
    pub fn auxiliary_output<const D: usize>(
        &self,
        name: &str,
        input: Value,
    ) -> Result<Tensor<D>, PluginError> {
        let outputs = self.auxiliary(name, input)?;
        let first = outputs
            .first()
            .map(|(output, _)| output.to_owned())
            .unwrap_or_default();
        Ok(outputs.float(&first)?)
    }

    /// Leaves a value for other hooks of this step.
    pub fn derive(&mut self, name: &str, value: Value) {
        self.derived.insert(name.to_owned(), value);
    }

    /// A value that a `forward` hook of this step left.
    ///
    /// # Errors
    /// [`PluginError::NotRecorded`] with near names.
    pub fn derived(&self, name: &str) -> Result<&Value, PluginError> {
        self.derived.get(name).ok_or_else(|| PluginError::NotRecorded {
            tensor: name.to_owned(),
            near: nearest(name, self.derived.keys().map(String::as_str), 2),
        })
    }
}

/// One named part of the loss.
#[derive(Clone, Debug)]
pub struct Term {
    /// Its name, as declared in [`Plan::declare_term`](super::Plan::declare_term).
    pub name: &'static str,
    /// Its value before weighting, `[1]`.
    pub value: Tensor<1>,
    /// Its weight in the sum, at this step.
    pub weight: f64,
}

impl Term {
    /// Whether it is a loss on the true classes: these are named `ce`, or `ce-…` where a method has
    /// several.
    pub fn is_task(&self) -> bool {
        is_task_term(self.name)
    }

    /// The weighted sum of all terms, `[1]`; `None` without terms.
    pub fn total(terms: &[Term]) -> Option<Tensor<1>> {
        terms
            .iter()
            .map(|term| term.value.clone() * term.weight)
            .reduce(|sum, term| sum + term)
    }
}

/// An update of the weights that is about to happen.
#[derive(Debug)]
pub struct Update<'a> {
    /// The networks that hold the students; [`Network::weight`] gives the key under which a
    /// weight's gradient is found.
    pub students: &'a [Network],
    /// The gradients of the whole loss.
    pub gradients: &'a mut GradientsParams,
    /// Those of the loss on the true classes alone, for a method that asked for them
    /// ([`Plan::separate_task_gradient`](super::Plan::separate_task_gradient)).
    pub task_gradients: Option<&'a GradientsParams>,
    /// The learning rate.
    pub learning_rate: &'a mut f64,
    /// When this is.
    pub time: Time,
}
