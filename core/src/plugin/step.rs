//! What a plugin sees of one training step.

use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use indexmap::IndexMap;

use super::PluginError;
use crate::names::nearest;
use crate::network::{Network, Outputs, TapError};
use crate::ops::Mode;
use crate::value::Value;

/// When a step happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// Steps done before this one, from the start of training.
    pub step: usize,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// Epochs in all.
    pub epochs: usize,
}

/// What one network gave back in this step.
#[derive(Clone, Debug)]
pub struct Member {
    /// `[batch, classes]`
    pub logits: Tensor<2>,
    /// Outputs and taps, by name.
    pub outputs: Outputs,
}

/// One training step after all networks ran.
#[derive(Debug)]
pub struct Step<'a> {
    /// The batch's true classes, `[batch]`.
    pub labels: Tensor<1, Int>,
    /// The teachers, without gradients.
    pub teachers: &'a [Member],
    /// The students.
    pub students: &'a [Member],
    /// When this is.
    pub time: Time,
    auxiliaries: &'a IndexMap<String, Network>,
    derived: IndexMap<String, Value>,
}

impl<'a> Step<'a> {
    /// A step over what the networks gave back.
    pub fn new(
        labels: Tensor<1, Int>,
        teachers: &'a [Member],
        students: &'a [Member],
        auxiliaries: &'a IndexMap<String, Network>,
        time: Time,
    ) -> Self {
        Self {
            labels,
            teachers,
            students,
            time,
            auxiliaries,
            derived: IndexMap::new(),
        }
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
        Ok(network.forward(input, &[], Mode::Training)?)
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
    /// The students; [`Network::weight`] gives the key under which a weight's gradient is found.
    pub students: &'a [Network],
    /// The gradients.
    pub gradients: &'a mut GradientsParams,
    /// The learning rate.
    pub learning_rate: &'a mut f64,
    /// When this is.
    pub time: Time,
}
