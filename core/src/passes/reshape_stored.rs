//! Stored tensors in the shape that their readers want: what else a file must have before it is
//! trained.
//!
//! burn-onnx's exporter stores the bias of a linear layer as `[classes]` and reshapes it to `[1,
//! classes]` in front of the sum. Passes that look for what a layer adds (drawing it anew, another
//! number of classes) look for stored tensors.

use std::collections::HashMap;

use crate::graph::Graph;
use crate::value::reshaped;

impl Graph {
    /// Stores what only a `Reshape` with a stored shape reads in that shape, under its own name,
    /// and drops the `Reshape`.
    pub fn reshape_stored(&mut self) {
        let outputs: Vec<String> = self.outputs.iter().map(|output| output.name.clone()).collect();
        let mut renamed: HashMap<String, String> = HashMap::new();
        let mut settled = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let ("Reshape", [name, shape], [output]) =
                (node.op.name(), node.inputs.as_slice(), node.outputs.as_slice())
            else {
                continue;
            };
            if self.consumers(name).len() > 1 || outputs.contains(output) || outputs.contains(name) {
                continue;
            }
            if let (Some(tensor), Some(shape)) = (self.tensors.get(name), self.tensors.get(shape))
                && !shape.data.dtype().is_float()
                && let Some(dims) = target(&tensor.data.shape().to_vec(), shape.data.iter::<i64>())
            {
                settled.push((index, name.clone(), dims));
                renamed.insert(output.clone(), name.clone());
            }
        }
        for (index, name, dims) in settled.into_iter().rev() {
            self.nodes.remove(index);
            let data = &mut self.tensors[&name].data;
            *data = reshaped(data.clone(), dims.into());
        }
        for input in self.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
            if let Some(name) = renamed.get(input) {
                input.clone_from(name);
            }
        }
        self.annotations
            .retain(|known| !renamed.contains_key(&known.name));
        self.prune_unused();
    }
}

/// The extents that ONNX's `Reshape` gives a tensor: 0 keeps an extent, −1 takes what is left.
/// Nothing where they hold another number of elements.
fn target(dims: &[usize], shape: impl Iterator<Item = i64>) -> Option<Vec<usize>> {
    let count: usize = dims.iter().product();
    let mut open = None;
    let mut made = Vec::new();
    for (axis, extent) in shape.enumerate() {
        made.push(match extent {
            -1 => {
                open = Some(axis);
                1
            }
            0 => *dims.get(axis)?,
            extent => usize::try_from(extent).ok()?,
        });
    }
    if let Some(axis) = open {
        let others: usize = made.iter().product();
        made[axis] = count.checked_div(others)?;
    }
    (made.iter().product::<usize>() == count).then_some(made)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use crate::builder::GraphBuilder;
    use crate::graph::{Graph, Init};
    use crate::network::Network;
    use crate::op::{Mode, Role};
    use crate::passes::reshape_stored::target;
    use crate::value::Value;

    /// A linear layer as burn-onnx's exporter writes it.
    fn exported() -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let weight = b.tensor("classifier.weight", Role::Weight, &[3, 4], Init::Normal(1.0));
        let bias = b.tensor("classifier.bias", Role::Weight, &[4], Init::Normal(1.0));
        let shape = b.ints("node_1_shape", &[1, -1]);
        let product = b.node("product", "MatMul", &[&x, &weight], []).unwrap();
        let row = b.node("row", "Reshape", &[&bias, &shape], []).unwrap();
        let y = b.node("logits", "Add", &[&product, &row], []).unwrap();
        b.output("logits", &y).unwrap();
        b.finish().unwrap()
    }

    fn run(graph: Graph) -> Vec<f32> {
        let x = Value::from(Tensor::<2>::ones([2, 3], &Device::flex()));
        let network = Network::new(graph, &Device::flex()).unwrap();
        let outputs = network.forward(x, &[], Mode::Inference).unwrap();
        outputs.first().unwrap().1.to_floats().unwrap()
    }

    #[test]
    fn a_bias_behind_a_reshape_is_stored_as_it_is_added() {
        let before = exported();
        let mut after = before.clone();
        after.reshape_stored();
        after.validate().unwrap();
        assert_eq!(after.nodes.len(), 2);
        assert_eq!(
            after.tensors.keys().collect::<Vec<_>>(),
            ["classifier.weight", "classifier.bias"]
        );
        assert_eq!(after.tensors["classifier.bias"].data.shape().to_vec(), [1, 4]);
        assert_eq!(run(before), run(after.clone()));
        after.replace_classifier(7, 0).unwrap();
        assert_eq!(after.tensors["classifier.bias"].data.shape().to_vec(), [1, 7]);
        let bias: Vec<f32> = after.tensors["classifier.bias"].data.iter().collect();
        assert_eq!(bias, [0.0; 7]);
    }

    #[test]
    fn what_others_read_too_stays() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let bias = b.tensor("bias", Role::Weight, &[3], Init::Normal(1.0));
        let shape = b.ints("shape", &[1, 3]);
        let row = b.node("row", "Reshape", &[&bias, &shape], []).unwrap();
        let y = b.node("first", "Add", &[&x, &row], []).unwrap();
        let y = b.node("second", "Add", &[&y, &bias], []).unwrap();
        b.output("logits", &y).unwrap();
        let mut graph = b.finish().unwrap();
        graph.reshape_stored();
        assert_eq!(graph.nodes.len(), 3);
    }

    #[test]
    fn extents_follow_the_rules_of_the_operator() {
        let target = |dims: &[usize], shape: &[i64]| target(dims, shape.iter().copied());
        assert_eq!(target(&[6], &[1, -1]), Some(vec![1, 6]));
        assert_eq!(target(&[2, 3], &[0, 1, 3]), Some(vec![2, 1, 3]));
        assert_eq!(target(&[6], &[4, -1]), None);
        assert_eq!(target(&[6], &[-2, 3]), None);
        assert_eq!(target(&[0], &[0, -1]), None);
    }
}
