//! Names for what a pass adds to a graph.
//!
//! Files call their values, tensors and nodes as they like: a pass that adds a scale to `conv1` may
//! meet a constant that its author called `conv1_scale`. Whoever adds something asks here for its
//! name, and never writes under one that is taken.

use std::collections::HashSet;

use super::Graph;

/// The names that are taken: those of values, tensors and nodes alike, so that runtimes that keep
/// them in one table find no two.
#[derive(Clone, Debug, Default)]
pub struct FreshNames {
    taken: HashSet<String>,
}

impl FreshNames {
    /// The name that was wished for, or else the first of `wished_2`, `wished_3`, … that is free.
    /// It is taken from then on.
    pub fn make(&mut self, wished: &str) -> String {
        let mut name = wished.to_owned();
        let mut count = 1_u64;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{wished}_{count}");
        }
        name
    }

    /// The prefix that was wished for, with a number before its last character (`gate/`, `gate2/`,
    /// …) where a name begins with it.
    pub fn prefix(&self, wished: &str) -> String {
        let mut prefix = wished.to_owned();
        let mut count = 1_u64;
        while self.taken.iter().any(|name| name.starts_with(&prefix)) {
            count += 1;
            let split = wished.char_indices().last().map_or(0, |(place, _)| place);
            let (stem, end) = wished.split_at(split);
            prefix = format!("{stem}{count}{end}");
        }
        prefix
    }

    /// Takes a graph's names as well.
    #[must_use]
    pub fn and(mut self, graph: &Graph) -> Self {
        let io = graph.inputs.iter().chain(&graph.outputs);
        self.taken.extend(io.map(|value| value.name.clone()));
        self.taken.extend(graph.tensors.keys().cloned());
        for node in &graph.nodes {
            self.taken.insert(node.name.clone());
            self.taken
                .extend(node.inputs.iter().chain(&node.outputs).cloned());
        }
        self
    }
}

impl Graph {
    /// Names that this graph does not use.
    pub fn fresh_names(&self) -> FreshNames {
        FreshNames::default().and(self)
    }

    /// Gives a node a name of its own where an input, a tensor or an earlier node has it: ONNX
    /// leaves them free, and runtimes that look all of them up in one table refuse two of one name.
    /// A node without a name counts as called after its first output.
    pub fn distinguish_nodes(&mut self) {
        let mut names = self.fresh_names();
        let inputs = self.inputs.iter().map(|input| input.name.clone());
        let mut seen: HashSet<String> = inputs.chain(self.tensors.keys().cloned()).collect();
        for node in &mut self.nodes {
            if !seen.insert(node.label().to_owned()) {
                node.name = names.make(node.label());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::GraphBuilder;
    use crate::graph::{Graph, Init};
    use crate::op::Role;

    fn graph() -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let scale = b.tensor("input_scale", Role::Weight, &[3], Init::Fill(2.0));
        let y = b.node("gate/scaled", "Mul", &[&x, &scale], []).unwrap();
        b.output("output", &y).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn a_name_is_given_once_whoever_has_it() {
        let mut names = graph().fresh_names();
        assert_eq!(names.make("input_zero_point"), "input_zero_point");
        assert_eq!(names.make("input_scale"), "input_scale_2");
        assert_eq!(names.make("input_scale"), "input_scale_3");
        assert_eq!(names.make("input"), "input_2");
        assert_eq!(names.make("gate/scaled"), "gate/scaled_2");
    }

    #[test]
    fn a_prefix_is_one_that_no_name_begins_with() {
        let names = graph().fresh_names();
        assert_eq!(names.prefix("gate/"), "gate2/");
        assert_eq!(names.prefix("peer1/"), "peer1/");
    }

    #[test]
    fn the_first_of_equally_named_nodes_keeps_its_name() {
        let mut graph = graph();
        for (index, name) in ["n", "n_2", "n", "input_scale", ""].iter().enumerate() {
            graph.nodes.push(crate::graph::Node {
                name: (*name).to_owned(),
                outputs: vec![format!("y{index}")],
                ..graph.nodes[0].clone()
            });
        }
        graph.nodes[0].name = "y4".to_owned();
        graph.distinguish_nodes();
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["y4", "n", "n_2", "n_3", "input_scale_2", "y4_2"]);
    }
}
