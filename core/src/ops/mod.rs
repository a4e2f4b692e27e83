//! The operators, one file each: attributes, shape, run, cost, and what each operator set changed.
//!
//! A file ends with a `pub const …: Operator` (several where one idea serves several names); [`table`] lists them all. Whoever adds an
//! operator writes one file and one line there. The order inside a file is always the same: head with the specification, the type with its
//! attributes, `impl Op`, private parts, the table's entry, tests.

mod error;
mod pool;
mod read;
mod shaped;
mod standardise;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod window;

pub mod affine_grid;
pub mod argmax;
pub mod attention;
pub mod average_pool;
pub mod batch_norm;
pub mod binarize;
pub mod binary;
pub mod bitwise;
pub mod cast;
pub mod clip;
pub mod col2im;
pub mod comparison;
pub mod concat;
pub mod constant;
pub mod constant_of_shape;
pub mod conv;
pub mod conv_transpose;
pub mod cumsum;
pub mod depth_to_space;
pub mod dropout;
pub mod einsum;
pub mod elu;
pub mod expand;
pub mod eye_like;
pub mod fake_quantize;
pub mod flatten;
pub mod gather;
pub mod gather_elements;
pub mod gather_nd;
pub mod gelu;
pub mod gemm;
pub mod global_pool;
pub mod grid_sample;
pub mod group_norm;
pub mod hard_sigmoid;
pub mod hardmax;
pub mod identity;
pub mod instance_norm;
pub mod interpolation;
pub mod is_nan;
pub mod layer_norm;
pub mod leaky_relu;
pub mod logic;
pub mod lp_norm;
pub mod lrn;
pub mod matmul;
pub mod max_pool;
pub mod mean_variance_normalization;
pub mod mish;
pub mod modulo;
pub mod non_zero;
pub mod one_hot;
pub mod pad;
pub mod pow;
pub mod prelu;
pub mod quantize_linear;
pub mod range;
pub mod recurrent;
pub mod reduce;
pub mod relu;
pub mod reshape;
pub mod resize;
pub mod rms_norm;
pub mod scale_gradient;
pub mod scatter_elements;
pub mod scatter_nd;
pub mod select;
pub mod shape;
pub mod shrink;
pub mod sigmoid;
pub mod slice;
pub mod softmax;
pub mod split;
pub mod squeeze;
pub mod swish;
pub mod thresholded_relu;
pub mod tile;
pub mod top_k;
pub mod transpose;
pub mod trilu;
pub mod unary;
pub mod unsqueeze;
pub mod variadic;

pub use error::OpError;
pub use read::NodeReader;
pub(crate) use shaped::{MOST_ELEMENTS, element_count};
pub use table::Operator;
pub use window::{Padding, Window};

use burn::tensor::Device;

use crate::graph::{Fact, Role};
use crate::precision::Precision;
use crate::value::{Kind, Value};

/// How a network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// BatchNorm normalises with the batch's statistics and moves the running ones; Dropout drops.
    Training,
    /// As in training, but the running statistics stay as they are: for what looks at a step without being one.
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
/// `inputs` are in ONNX's order; an optional input that is absent is `None` or missing at the end. [`Inputs`] reads them with errors that name
/// the input.
pub trait Op: std::fmt::Debug + Send + Sync + OpClone + std::any::Any {
    /// ONNX's name of the operator.
    fn name(&self) -> &'static str;

    /// Kinds and extents of the outputs. Refuses inputs that do not fit, so that [`run`](Op::run) need not.
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

/// The inputs of a node: facts while shapes are inferred, values while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T>(pub &'a [Option<T>]);

impl<'a, T> Inputs<'a, T> {
    /// An optional input.
    pub fn optional(&self, index: usize) -> Option<&'a T> {
        self.0.get(index).and_then(Option::as_ref)
    }

    /// An input that must be there.
    ///
    /// # Errors
    /// [`OpError::MissingInput`] with the name.
    pub fn required(&self, index: usize, name: &'static str) -> Result<&'a T, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index, name })
    }

    /// The inputs that are there, in order.
    pub fn present(&self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.0.iter().flatten()
    }

    /// How many inputs the node lists.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the node lists none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Inputs<'a, Fact> {
    /// A required input of a certain kind.
    ///
    /// # Errors
    /// A missing input or another kind.
    pub fn of_kind(&self, index: usize, name: &'static str, kind: Kind) -> Result<&'a Fact, OpError> {
        let fact = self.required(index, name)?;
        if fact.kind == kind {
            return Ok(fact);
        }
        Err(OpError::Kind {
            name,
            expected: kind,
            got: fact.kind,
        })
    }

    /// A required float input of which no axis has extent 0: what reductions and products can be taken of.
    ///
    /// # Errors
    /// A missing input, another kind, or an empty tensor.
    pub fn filled(&self, index: usize, name: &'static str) -> Result<&'a Fact, OpError> {
        let fact = self.of_kind(index, name, Kind::Float)?;
        if !fact.is_empty() {
            return Ok(fact);
        }
        Err(OpError::Shape {
            name,
            got: fact.dims.clone(),
            expected: "at least one element".to_owned(),
        })
    }

    /// An optional float input.
    ///
    /// # Errors
    /// An input of another kind.
    pub fn optional_float(&self, index: usize, name: &'static str) -> Result<Option<&'a Fact>, OpError> {
        match self.optional(index) {
            None => Ok(None),
            Some(_) => self.of_kind(index, name, Kind::Float).map(Some),
        }
    }

    /// The integers of an input that must follow from constants and shapes alone.
    ///
    /// # Errors
    /// A missing input, or one that depends on the data.
    pub fn known_ints(&self, index: usize, name: &'static str) -> Result<Vec<i64>, OpError> {
        let fact = self.required(index, name)?;
        fact.ints().ok_or(OpError::NotConstant { name })
    }
}

/// The axis that ONNX's possibly negative `axis` names.
///
/// # Errors
/// [`OpError::Axis`] when `rank` has no such axis.
pub fn resolve_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let resolved = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(resolved)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or(OpError::Axis { axis, rank })
}

/// The product of extents as multiply-adds; beyond all numbers, the largest.
fn work(extents: impl IntoIterator<Item = usize>) -> u64 {
    let product = |work: u64, extent: usize| work.saturating_mul(extent as u64);
    extents.into_iter().fold(1, product)
}

/// The shape that two shapes broadcast to (ONNX: aligned at the end, extent 1 stretches).
///
/// # Errors
/// [`OpError::Broadcast`] with both shapes.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, OpError> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| {
        let missing = rank - dims.len();
        if axis < missing { 1 } else { dims[axis - missing] }
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(OpError::Broadcast {
                left: a.to_vec(),
                right: b.to_vec(),
            }),
        })
        .collect()
}
