//! Whether a network can learn: a gradient needs a way from its outputs back to a weight.

use std::collections::HashSet;

use crate::graph::{Graph, GraphError, infer};
use crate::op::Role;
use crate::value::Kind;

impl Graph {
    /// Whether a value follows from a stored weight by floats alone. What follows by integers (what
    /// an ArgMax makes, a network in `int8`) has no gradient.
    ///
    /// # Errors
    /// A node that refuses its inputs.
    pub fn follows_from_weights(&self, value: &str) -> Result<bool, GraphError> {
        let facts = infer(self, 1)?;
        let weights = self
            .tensors
            .iter()
            .filter(|(_, tensor)| tensor.role == Role::Weight);
        let mut reached: HashSet<&str> = weights.map(|(name, _)| name.as_str()).collect();
        for node in &self.nodes {
            if !node.inputs.iter().any(|input| reached.contains(input.as_str())) {
                continue;
            }
            let floats = node.outputs.iter().map(String::as_str).filter(|output| {
                let fact = facts.get(*output);
                fact.is_some_and(|fact| fact.kind == Kind::Float)
            });
            reached.extend(floats);
        }
        Ok(reached.contains(value))
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::GraphBuilder;
    use crate::graph::{Graph, Init};
    use crate::op::Role;

    fn product(role: Role, through_integers: bool) -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let weight = b.tensor("weight", role, &[3, 4], Init::Normal(1.0));
        let mut y = b.node("y", "MatMul", &[&x, &weight], []).unwrap();
        if through_integers {
            y = b.node("whole", "Cast", &[&y], [("to", 7.into())]).unwrap();
            y = b.node("again", "Cast", &[&y], [("to", 1.into())]).unwrap();
        }
        b.output("output", &y).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn a_network_learns_by_weights_that_its_output_follows_from_in_floats() {
        for (role, through_integers, learns) in [
            (Role::Weight, false, true),
            (Role::Weight, true, false),
            (Role::Constant, false, false),
        ] {
            let graph = product(role, through_integers);
            let output = graph.outputs[0].name.clone();
            assert_eq!(graph.follows_from_weights(&output).unwrap(), learns);
        }
    }
}
