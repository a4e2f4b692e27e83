//! Why a student cannot be written.

use std::path::PathBuf;

use potstill_core::graph::GraphError;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A tensor in an element type that ONNX does not have.
    #[error("tensor `{tensor}` has element type {got}, which ONNX cannot hold")]
    ElementType {
        /// The tensor.
        tensor: String,
        /// Its type.
        got: String,
    },
    /// The encoder refuses the model.
    #[error("cannot encode the model")]
    Encode(#[source] protobuf::Error),
    /// An operator set outside the supported range.
    #[error("operator set {got}, expected {oldest} to {newest}")]
    Opset {
        /// What was asked for.
        got: i64,
        /// The oldest supported one.
        oldest: i64,
        /// The newest supported one.
        newest: i64,
    },
    /// An operator set in which a quantised network cannot be written.
    #[error(
        "operator set {got} has no scales for each channel; int8 needs {oldest} or newer, as by --opset {oldest}"
    )]
    QuantisedOpset {
        /// The network's.
        got: i64,
        /// The oldest that would do.
        oldest: i64,
    },
    /// A student that has learnt to compute in integers, asked for in other numbers.
    #[error("the student was trained to compute in int8, by plugin `qat`; fp16 is not for it")]
    LearntIntegers,
    /// Numbers that cannot be quantised.
    #[error("value `{value}` runs from {} to {} on the pictures of the calibration, expected finite numbers", range[0], range[1])]
    Range {
        /// The value.
        value: String,
        /// Its range.
        range: [f32; 2],
    },
    /// A network that is in integers already, asked for in other numbers.
    #[error(
        "node `{node}` ({op}) is in integers already, expected a network of floats; --precision fp32 writes it as it is"
    )]
    Integers {
        /// The first node in integers.
        node: String,
        /// Its operator.
        op: String,
    },
    /// A number that half precision cannot hold.
    #[error(
        "`{tensor}` holds {number:e}, which node `{node}` ({op}) cannot read in float16: it holds magnitudes from 6e-8 to 65504"
    )]
    Half {
        /// The tensor.
        tensor: String,
        /// The number.
        number: f32,
        /// A node that reads it.
        node: String,
        /// Its operator.
        op: String,
    },
    /// A network that half precision has made another.
    #[error(
        "in float16, node `{node}` ({op}) makes other numbers: they differ by {difference:e} of the largest, expected at most {tolerance:e}; constants that it reads, or that are read before it, are too small or too large for float16"
    )]
    Changed {
        /// The first node that does.
        node: String,
        /// Its operator.
        op: String,
        /// Largest difference over largest value.
        difference: f64,
        /// What would do.
        tolerance: f64,
    },
    /// A value that grows beyond what half precision holds.
    #[error("node `{node}` ({op}) makes `{value}` of up to {largest:e}, and float16 holds 65504 at most")]
    Overflow {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The value.
        value: String,
        /// Its largest magnitude on the pictures seen.
        largest: f32,
    },
    /// Weights of 7 bits for a file that is not in integers.
    #[error(
        "weights of 7 bits (--reduce-range, or `reduce-range` in [export]) are for int8, and the file is in other numbers"
    )]
    ReduceRange,
    /// A node whose written form differs between two operator sets.
    #[error("node `{node}` ({op}) is written for operator set {from} and has another form in {to}")]
    Form {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The operator set that it was written for.
        from: i64,
        /// The one that was asked for.
        to: i64,
    },
    /// The graph does not run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The independent runtime refuses the file.
    #[error("the exported file does not run in tract: {reason}")]
    Runtime {
        /// What it says.
        reason: String,
    },
    /// The independent runtime computes something else.
    #[error(
        "the exported file differs from the network: output `{output}` by {difference:e} of its largest value, expected at most {tolerance:e}"
    )]
    Differs {
        /// The output.
        output: String,
        /// Largest difference over largest value.
        difference: f64,
        /// What would do.
        tolerance: f64,
    },
}
