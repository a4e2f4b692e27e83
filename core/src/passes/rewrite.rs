//! Nodes put into a graph that is there: behind a value, or between a stored tensor and one of its
//! readers.

use indexmap::IndexMap;

use crate::graph::{Graph, Node};
use crate::op::Op;
use crate::op::Role;

impl Graph {
    /// Puts a node behind a value, so that all its readers read the node's first output, which is
    /// called `name`. `beside` are the node's further inputs. Outputs of the graph stay what they
    /// are.
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
        let reader = &mut self.nodes[index];
        let name = format!("{}.{suffix}", reader.label());
        reader.inputs[1].clone_from(&name);
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
