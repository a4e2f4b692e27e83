//! An operator with its attributes, and the entry by which files name it.

use burn::tensor::Device;

use super::error::OpError;
use super::fact::Fact;
use super::inputs::Inputs;
use super::read::NodeReader;
use super::role::Role;
use crate::precision::Precision;
use crate::value::Value;

/// How a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// BatchNorm normalises with the batch's statistics and moves the running ones; Dropout drops.
    Training,
    /// As in training, but the running statistics stay as they are: for what looks at a step
    /// without being one.
    Rehearsal,
    /// BatchNorm normalises with the running statistics; Dropout does nothing.
    Inference,
}

/// What an operator may know of the run it is part of.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// Training or inference.
    pub mode: Mode,
    /// Where floats live.
    pub device: Device,
    /// What convolutions round their factors to.
    pub precision: Precision,
}

/// One operator with its attributes.
///
/// `inputs` are in ONNX's order; an optional input that is absent is `None` or missing at the end.
/// [`Inputs`] reads them with errors that name the input.
pub trait Op: std::fmt::Debug + Send + Sync + OpClone + std::any::Any {
    /// ONNX's name of the operator.
    fn name(&self) -> &'static str;

    /// Kinds and extents of the outputs. Refuses inputs that do not fit, so that [`run`](Op::run)
    /// need not.
    ///
    /// Called only when the outputs cannot be computed from known inputs.
    ///
    /// # Errors
    /// What does not fit, with the numbers.
    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError>;

    /// Computes the outputs.
    ///
    /// # Errors
    /// Only what depends on content and not on shapes (an index out of range, say).
    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError>;

    /// Multiply-adds of one run; comparisons, additions and moves count nothing, as the field does.
    fn cost(&self, _inputs: &Inputs<'_, Fact>, _outputs: &[Fact]) -> u64 {
        0
    }

    /// The number of trainable numbers that the operator itself holds, beside the graph's tensors.
    fn parameters(&self) -> usize {
        0
    }

    /// What a stored float tensor at this input is for.
    fn role(&self, _input: usize) -> Role {
        Role::Constant
    }

    /// Pairs (output, input): in training, the output is the buffer's next value.
    fn updates(&self) -> &'static [(usize, usize)] {
        &[]
    }
}

/// Clones a boxed [`Op`].
pub trait OpClone {
    /// A copy in a box.
    fn clone_box(&self) -> Box<dyn Op>;
}

impl<T: Op + Clone> OpClone for T {
    fn clone_box(&self) -> Box<dyn Op> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Op> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

impl dyn Op {
    /// The operator as a concrete type, for passes that look for it.
    pub fn downcast<T: Op>(&self) -> Option<&T> {
        (self as &dyn std::any::Any).downcast_ref()
    }
}

/// An operator that files may name.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// ONNX's name.
    pub name: &'static str,
    /// Versions of the operator set at which the written form changed (an attribute became an
    /// input, say) in a way that a node written for an earlier version cannot simply be carried
    /// over. Empty: one form for all supported versions.
    pub forms: &'static [i64],
    /// Reads the attributes.
    pub read: fn(&NodeReader<'_>) -> Result<Box<dyn Op>, OpError>,
}
