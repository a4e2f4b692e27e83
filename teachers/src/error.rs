//! What can be wrong with an ONNX file.

use potstill_core::graph::GraphError;
use potstill_core::op::OpError;

/// Why a file is no network that runs here; whoever passes it on adds the file's name.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file, or a file of external data beside it.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: {reason}")]
    NotOnnx {
        /// What the protobuf reader says, or what is missing.
        reason: String,
    },
    /// An operator set outside the supported range.
    #[error("operator set {got}, expected {oldest} to {newest}")]
    Opset {
        /// The file's version.
        got: i64,
        /// The oldest supported one.
        oldest: i64,
        /// The newest supported one.
        newest: i64,
    },
    /// Nodes that wait for one another.
    #[error("node `{node}` reads what follows from itself")]
    Cycle {
        /// One of them.
        node: String,
    },
    /// Operators that are not in the table; all of them, with counts.
    #[error("unsupported operators: {}", list(operators))]
    Unsupported {
        /// Name (with its domain, where that is not ONNX itself) and number of nodes.
        operators: Vec<(String, usize)>,
    },
    /// A node whose operator refuses its attributes.
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
    /// A stored tensor that cannot be read.
    #[error("tensor `{tensor}` {reason}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong, as what follows the name.
        reason: String,
    },
    /// A construct of the format that no image classifier uses.
    #[error("{what} is not supported")]
    Feature {
        /// The construct.
        what: String,
    },
    /// A graph that contradicts itself.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

fn list(operators: &[(String, usize)]) -> String {
    let texts: Vec<String> = operators
        .iter()
        .map(|(name, count)| format!("{name} ({count}×)"))
        .collect();
    texts.join(", ")
}
