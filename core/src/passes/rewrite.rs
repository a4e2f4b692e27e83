//! Nodes put into a graph that is there: behind a value, or between a stored tensor and one of its
//! readers.

use indexmap::IndexMap;

use burn::tensor::TensorData;

use crate::graph::{Graph, Node, StoredTensor};
use crate::op::{Dim, Op, Role};
use crate::ops::reshape::Reshape;

impl Graph {
    /// Puts a node behind a value, so that all its readers read the node's first output, which is
    /// called `name`, a fresh one. `beside` are the node's further inputs. Outputs of the graph
    /// stay what they are.
    pub fn insert_behind(&mut self, value: &str, name: &str, op: Box<dyn Op>, beside: Vec<String>) {
        for node in &mut self.nodes {
            for input in node.inputs.iter_mut().filter(|input| *input == value) {
                name.clone_into(input);
            }
        }
        let place = self.producer(value).map_or(0, |producer| producer + 1);
        let mut inputs = vec![value.to_owned()];
        inputs.extend(beside);
        self.nodes.insert(place, node(name, op, inputs));
    }

    /// Puts a `Reshape` to these extents (-1 stands for the batch) behind an output, which keeps
    /// its name.
    pub fn reshape_output(&mut self, output: &str, extents: &[i64]) {
        let mut names = self.fresh_names();
        let before = names.make(&format!("{output}_squeezed"));
        let shape = names.make(&format!("{output}_shape"));
        for node in &mut self.nodes {
            for name in node.inputs.iter_mut().chain(&mut node.outputs) {
                if name == output {
                    name.clone_from(&before);
                }
            }
        }
        let data = TensorData::new(extents.to_vec(), [extents.len()]);
        let role = Role::Constant;
        self.tensors.insert(shape.clone(), StoredTensor { role, data });
        let op = Box::new(Reshape { allow_zero: false });
        let mut reshape = node(output, op, vec![before, shape]);
        reshape.name = names.make(&format!("{output}_Reshape"));
        self.nodes.push(reshape);
        for value in self.outputs.iter_mut().filter(|value| value.name == output) {
            let dim = |extent: &i64| match usize::try_from(*extent) {
                Ok(extent) => Dim::Known(extent),
                Err(_) => Dim::Symbol("batch".to_owned()),
            };
            value.dims = Some(extents.iter().map(dim).collect());
        }
    }

    /// Puts a node between the weight that the node at `index` reads as its second input, and this
    /// node. `make` is given the axis of output channels. Returns whether there is such a weight;
    /// the index then counts one more.
    pub fn insert_before_weight(
        &mut self,
        index: usize,
        suffix: &str,
        make: impl FnOnce(usize) -> Box<dyn Op>,
    ) -> bool {
        let Some((weight, axis)) = self.weight_of(index) else {
            return false;
        };
        let wished = format!("{}.{suffix}", self.nodes[index].label());
        let name = self.fresh_names().make(&wished);
        self.nodes[index].inputs[1].clone_from(&name);
        self.nodes.insert(index, node(&name, make(axis), vec![weight]));
        true
    }

    /// The stored weight of a convolution or product, with its axis of output channels.
    pub fn weight_of(&self, index: usize) -> Option<(String, usize)> {
        let node = self.nodes.get(index)?;
        let name = node.inputs.get(1)?;
        let tensor = self
            .tensors
            .get(name)
            .filter(|tensor| tensor.role == Role::Weight)?;
        Some((name.clone(), node.channel_axis(tensor.data.shape().rank())?))
    }

    /// Removes the node at `index`; who read its first output reads its first input.
    pub fn bypass(&mut self, index: usize) {
        let removed = self.nodes.remove(index);
        let (Some(from), Some(to)) = (removed.inputs.first(), removed.outputs.first()) else {
            return;
        };
        for node in &mut self.nodes {
            for input in node.inputs.iter_mut().filter(|input| *input == to) {
                input.clone_from(from);
            }
        }
    }
}

fn node(name: &str, op: Box<dyn Op>, inputs: Vec<String>) -> Node {
    Node {
        name: name.to_owned(),
        op,
        attributes: IndexMap::new(),
        inputs,
        outputs: vec![name.to_owned()],
        doc: String::new(),
    }
}
