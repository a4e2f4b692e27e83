//! What an operator can refuse.

use crate::names::did_you_mean;
use crate::value::Kind;

/// Why an operator cannot be read or run; whoever passes it on adds the node's name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OpError {
    /// An attribute of the wrong type or outside its range.
    #[error("attribute `{attribute}` is {got}, expected {expected}")]
    BadAttribute {
        /// Its name.
        attribute: String,
        /// What the file says.
        got: String,
        /// What would do.
        expected: String,
    },
    /// An attribute that the operator cannot do without.
    #[error("attribute `{attribute}` is missing")]
    MissingAttribute {
        /// Its name.
        attribute: String,
    },
    /// An attribute that the operator does not have.
    #[error("attribute `{attribute}` is unknown{}", did_you_mean(near))]
    UnknownAttribute {
        /// Its name.
        attribute: String,
        /// Known ones that resemble it.
        near: Vec<String>,
    },
    /// A valid form of the operator that Potstill does not run.
    #[error("{what} is not supported")]
    Unsupported {
        /// The form.
        what: String,
    },
    /// A required input that the node does not list.
    #[error("input {index} (`{name}`) is missing")]
    MissingInput {
        /// Its position.
        index: usize,
        /// Its name in the specification.
        name: &'static str,
    },
    /// An input of another kind.
    #[error("input `{name}` holds {got} elements, expected {expected}")]
    Kind {
        /// The input's name in the specification.
        name: &'static str,
        /// The kind that would do.
        expected: Kind,
        /// The kind that came.
        got: Kind,
    },
    /// An input whose extents do not fit.
    #[error("input `{name}` has shape {got:?}, expected {expected}")]
    Shape {
        /// The input's name in the specification.
        name: &'static str,
        /// Its extents.
        got: Vec<usize>,
        /// What would fit.
        expected: String,
    },
    /// An input that must not depend on the data.
    #[error("input `{name}` depends on the data, expected a constant or something computed from shapes")]
    NotConstant {
        /// The input's name in the specification.
        name: &'static str,
    },
    /// An input whose content is outside its range.
    #[error("input `{name}` holds {got}, expected {expected}")]
    Content {
        /// The input's name in the specification.
        name: &'static str,
        /// The offending content.
        got: String,
        /// What would do.
        expected: String,
    },
    /// An axis beyond the rank.
    #[error("axis {axis} is outside rank {rank}")]
    Axis {
        /// The axis as written.
        axis: i64,
        /// The number of axes.
        rank: usize,
    },
    /// Two shapes that do not broadcast.
    #[error("shapes {left:?} and {right:?} do not broadcast")]
    Broadcast {
        /// The first shape.
        left: Vec<usize>,
        /// The second shape.
        right: Vec<usize>,
    },
}
