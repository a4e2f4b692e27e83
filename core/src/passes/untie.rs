//! A tensor of its own for each name: what a file must have before it is trained.
//!
//! PyTorch's exporter stores tensors of equal content once and lets `Identity` nodes stand for the
//! others. In a fresh network that concerns every scale and every running mean. Trained as they
//! stand, layers would share what was only equal by chance, and statistics behind an `Identity`
//! would not move.

use crate::graph::Graph;

impl Graph {
    /// Replaces every `Identity` of a stored tensor by a stored copy under the name that the
    /// `Identity` gave it.
    pub fn untie(&mut self) {
        let outputs: Vec<String> = self.outputs.iter().map(|output| output.name.clone()).collect();
        for node in std::mem::take(&mut self.nodes) {
            if node.op.name() == "Identity"
                && let ([input], [output]) = (node.inputs.as_slice(), node.outputs.as_slice())
                && !outputs.contains(output)
                && let Some(tensor) = self.tensors.get(input).cloned()
            {
                self.tensors.insert(output.clone(), tensor);
                continue;
            }
            self.nodes.push(node);
        }
        let stored = &self.tensors;
        self.annotations.retain(|known| !stored.contains_key(&known.name));
        self.prune_unused();
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::GraphBuilder;
    use crate::graph::Init;
    use crate::network::Network;
    use crate::op::{Mode, Role};
    use crate::value::Value;

    use burn::tensor::{Device, Tensor};

    #[test]
    fn copies_become_tensors_of_their_own_and_the_numbers_stay() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let bias = b.tensor("first.bias", Role::Weight, &[3], Init::Normal(1.0));
        let copy = b.node("second.bias", "Identity", &[&bias], []).unwrap();
        let chained = b.node("third.bias", "Identity", &[&copy], []).unwrap();
        let y = b.add("first", &x, &bias).unwrap();
        let y = b.add("second", &y, &copy).unwrap();
        let y = b.add("third", &y, &chained).unwrap();
        b.output("output", &y).unwrap();
        let tied = b.finish().unwrap();
        let mut untied = tied.clone();
        untied.untie();
        untied.validate().unwrap();
        assert_eq!(untied.nodes.len(), 3);
        assert_eq!(
            untied.tensors.keys().collect::<Vec<_>>(),
            ["first.bias", "second.bias", "third.bias"]
        );
        assert!(untied.tensors.values().all(|tensor| tensor.role == Role::Weight));
        let run = |graph| {
            let x = Value::from(Tensor::<2>::ones([2, 3], &Device::flex()));
            let network = Network::new(graph, &Device::flex()).unwrap();
            let outputs = network.forward(x, &[], Mode::Inference).unwrap();
            outputs.first().unwrap().1.to_floats()
        };
        assert_eq!(run(tied), run(untied));
    }
}
