//! What can be wrong with a graph.

use crate::names::did_you_mean;
use crate::op::OpError;

/// A graph that cannot be used as it stands.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Two things of one name.
    #[error("value `{value}` is made twice")]
    Duplicate {
        /// The name.
        value: String,
    },
    /// A node reads what nothing before it makes.
    #[error("node `{node}` reads `{value}`, which no earlier node makes")]
    Unmade {
        /// The reading node.
        node: String,
        /// What it reads.
        value: String,
    },
    /// An output that nothing makes.
    #[error("output `{value}` is made by no node")]
    UnknownOutput {
        /// The output's name.
        value: String,
    },
    /// A value that the user named and the graph does not have.
    #[error("no value `{value}`{}", did_you_mean(near))]
    NoValue {
        /// What was asked for.
        value: String,
        /// Names that resemble it.
        near: Vec<String>,
    },
    /// A value after which the network cannot part.
    #[error("cannot branch after `{value}`: {reason}; possible: {}", possible.join(", "))]
    Branch {
        /// What was asked for.
        value: String,
        /// Why not.
        reason: String,
        /// The values that are possible, in the network's order.
        possible: Vec<String>,
    },
    /// A network whose last layer cannot be exchanged.
    #[error("the classifier cannot be changed to {classes} classes: {reason}")]
    Classifier {
        /// The classes that were asked for.
        classes: usize,
        /// Why not.
        reason: String,
    },
    /// An operator that refuses its inputs or attributes.
    #[error("node `{node}` ({op})")]
    Node {
        /// The node's name.
        node: String,
        /// Its operator.
        op: String,
        /// What the operator says.
        #[source]
        source: OpError,
    },
    /// A value is fed in another shape than the graph declares.
    #[error("input `{input}` is {got}, expected {expected}")]
    InputShape {
        /// The input's name.
        input: String,
        /// The declared shape.
        expected: String,
        /// The shape that came.
        got: String,
    },
    /// A value that no memory holds.
    #[error("value `{value}` has shape {shape:?}, expected at most {most} elements")]
    TooLarge {
        /// Its name.
        value: String,
        /// Its extents.
        shape: Vec<usize>,
        /// The number of elements that a value may have.
        most: usize,
    },
    /// A network that cannot be made so small.
    #[error("cannot prune: {reason}")]
    Prune {
        /// Why not.
        reason: String,
    },
    /// An input that was not fed.
    #[error("input `{input}` is missing")]
    MissingInput {
        /// The input's name.
        input: String,
    },
    /// A stored tensor whose bytes and shape disagree.
    #[error("tensor `{tensor}` holds {got} elements, its shape {shape:?} needs {expected}")]
    TensorSize {
        /// The tensor's name.
        tensor: String,
        /// The stated shape.
        shape: Vec<usize>,
        /// The number of elements that the shape asks for.
        expected: usize,
        /// The number of elements that came.
        got: usize,
    },
    /// A network with more or other inputs than one picture, where one is needed.
    #[error("the network has {got} inputs ({names}), expected one")]
    InputCount {
        /// How many there are.
        got: usize,
        /// Their names.
        names: String,
    },
}
