//! The one representation of a network: named values, nodes with a typed operator each, named
//! tensors.
//!
//! Teachers from a file, students of the zoo, students from a file, regressors and gates are all
//! [`Graph`]s, so that decoding followed by encoding gives back the same model, any value can be
//! tapped by its name, and every pass (folding, branching, pruning) is written once. A graph lives
//! on the host and knows no device; [`Network`](crate::network::Network) is a graph that runs.

mod error;
mod fingerprint;
mod fresh;
pub(crate) mod infer;
mod summary;
mod tensor;

pub use crate::op::{Attribute, Attributes, Dim, ElementType, Fact, Role, ValueInfo};
pub use error::GraphError;
pub use fresh::FreshNames;
pub(crate) use infer::infer_from;
pub use infer::{Facts, infer, infer_node};
pub use summary::{NodeSummary, Summary, summarise};
pub use tensor::{Init, StoredTensor};

use indexmap::IndexMap;

use crate::names::nearest;
use crate::op::Op;

/// A network: what ONNX calls a model, with its graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The graph's name in the file.
    pub name: String,
    /// What is fed, in the order of the file (without the tensors that old files list among the
    /// inputs).
    pub inputs: Vec<ValueInfo>,
    /// What is returned, in the order of the file.
    pub outputs: Vec<ValueInfo>,
    /// The nodes in execution order.
    pub nodes: Vec<Node>,
    /// Weights, buffers and constants by name, in the order of the file.
    pub tensors: IndexMap<String, StoredTensor>,
    /// Types and shapes that the file states for values in between; kept, never relied upon.
    pub annotations: Vec<ValueInfo>,
    /// What a file says about itself.
    pub model: ModelInfo,
}

/// What a model file says beside its graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// Version of the file format; 0 leaves the choice to the encoder.
    pub ir_version: i64,
    /// Operator set versions by domain (`""` is ONNX itself).
    pub opsets: IndexMap<String, i64>,
    /// The tool that wrote the file.
    pub producer: String,
    /// Its version.
    pub producer_version: String,
    /// The model's namespace.
    pub domain: String,
    /// The model's own version.
    pub version: i64,
    /// Free text on the model.
    pub doc: String,
    /// Free text on the graph.
    pub graph_doc: String,
    /// Key-value pairs: classes, preprocessing, provenance.
    pub metadata: IndexMap<String, String>,
    /// Key-value pairs that the file states on its graph: exporters leave notes of their own there.
    pub graph_metadata: IndexMap<String, String>,
}

impl ModelInfo {
    /// The version of ONNX's own operator set.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(0)
    }
}

/// One operator applied to named values.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's name; may be empty in files.
    pub name: String,
    /// The operator with its attributes read.
    pub op: Box<dyn Op>,
    /// The attributes as written, so that encoding gives back the same node.
    pub attributes: Attributes,
    /// The names of the inputs; `""` for an optional one that is absent.
    pub inputs: Vec<String>,
    /// The names of the outputs; `""` for one that nobody asked for.
    pub outputs: Vec<String>,
    /// Free text of the file.
    pub doc: String,
}

impl Node {
    /// How messages call the node: its name, or its first output where it has none.
    pub fn label(&self) -> &str {
        if self.name.is_empty() {
            self.outputs.first().map_or("", String::as_str)
        } else {
            &self.name
        }
    }
}

impl Graph {
    /// Checks what every pass relies on: each value is made once and before it is read, outputs
    /// exist.
    ///
    /// # Errors
    /// The first violation, with the names involved.
    pub fn validate(&self) -> Result<(), GraphError> {
        let mut known: std::collections::HashSet<&str> = std::collections::HashSet::new();
        for name in self
            .inputs
            .iter()
            .map(|input| &input.name)
            .chain(self.tensors.keys())
        {
            if !known.insert(name) {
                return Err(GraphError::Duplicate { value: name.clone() });
            }
        }
        for node in &self.nodes {
            for input in node.inputs.iter().filter(|name| !name.is_empty()) {
                if !known.contains(input.as_str()) {
                    return Err(GraphError::Unmade {
                        node: node.label().to_owned(),
                        value: input.clone(),
                    });
                }
            }
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                if !known.insert(output) {
                    return Err(GraphError::Duplicate {
                        value: output.clone(),
                    });
                }
            }
        }
        for output in &self.outputs {
            if !known.contains(output.name.as_str()) {
                return Err(GraphError::UnknownOutput {
                    value: output.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The names of all values that can be tapped: inputs and what nodes make.
    pub fn value_names(&self) -> impl Iterator<Item = &str> {
        let inputs = self.inputs.iter().map(|input| input.name.as_str());
        let made = self
            .nodes
            .iter()
            .flat_map(|node| &node.outputs)
            .map(String::as_str);
        inputs.chain(made.filter(|name| !name.is_empty()))
    }

    /// Refuses a name that is no value of the graph.
    ///
    /// # Errors
    /// [`GraphError::NoValue`] with the nearest names.
    pub fn check_value(&self, name: &str) -> Result<(), GraphError> {
        if self.value_names().any(|known| known == name) {
            return Ok(());
        }
        Err(GraphError::NoValue {
            value: name.to_owned(),
            near: nearest(name, self.value_names(), 3),
        })
    }

    /// The index of the node that makes a value.
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.outputs.iter().any(|output| output == value))
    }

    /// The indices of the nodes that read a value.
    pub fn consumers(&self, value: &str) -> Vec<usize> {
        let reads = |node: &Node| node.inputs.iter().any(|input| input == value);
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| reads(node))
            .map(|(i, _)| i)
            .collect()
    }

    /// Whether a node or the caller reads a value.
    pub fn is_read(&self, value: &str) -> bool {
        !value.is_empty()
            && (self.outputs.iter().any(|output| output.name == value) || !self.consumers(value).is_empty())
    }

    /// The number of trainable parameters.
    pub fn parameters(&self) -> usize {
        let weights = self.tensors.values().filter(|tensor| tensor.role == Role::Weight);
        let held = self.nodes.iter().map(|node| node.op.parameters());
        weights.map(StoredTensor::len).chain(held).sum()
    }

    /// Drops nodes whose results nobody reads, and tensors that no node reads.
    pub fn prune_unused(&mut self) {
        let mut wanted: std::collections::HashSet<String> =
            self.outputs.iter().map(|output| output.name.clone()).collect();
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.outputs.iter().any(|output| wanted.contains(output)) {
                wanted.extend(node.inputs.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.tensors.retain(|name, _| wanted.contains(name));
    }
}
