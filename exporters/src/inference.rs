//! A graph in its inference form: a student that came from a file exported for training says so in
//! its nodes, and runtimes would obey.
//!
//! BatchNormalization loses `training_mode` and the outputs that hold new statistics, Dropout its
//! mask and its input `training_mode`. Potstill itself runs both as the caller asks (see their
//! files in `potstill-core`), so the graph computes what it did. A node whose further outputs are
//! read stays.
//!
//! An optional input at the end that a file leaves out by an empty name is left out by no name,
//! which says the same and is understood by more runtimes (tract counts the names of a Conv).

use potstill_core::graph::Graph;
use potstill_core::op::Attribute;
use potstill_core::ops::batch_norm::BatchNorm;
use potstill_core::ops::dropout::Dropout;

/// Of a Dropout's inputs, the data and the ratio.
const DROPOUT_INPUTS: usize = 2;

/// Puts every node that has a training form into its inference form.
pub fn inference_form(graph: &mut Graph) {
    let first_alone: Vec<bool> = graph
        .nodes
        .iter()
        .map(|node| !node.outputs.iter().skip(1).any(|output| graph.is_read(output)))
        .collect();
    for (node, first_alone) in graph.nodes.iter_mut().zip(first_alone) {
        if !first_alone {
            continue;
        }
        if node.op.downcast::<BatchNorm>().is_some() {
            if let Some(mode) = node.attributes.get_mut("training_mode") {
                *mode = Attribute::Int(0);
            }
            node.outputs.truncate(1);
        } else if node.op.downcast::<Dropout>().is_some() {
            node.inputs.truncate(DROPOUT_INPUTS);
            node.outputs.truncate(1);
        }
    }
    for node in &mut graph.nodes {
        for names in [&mut node.inputs, &mut node.outputs] {
            while names.last().is_some_and(String::is_empty) {
                names.pop();
            }
        }
    }
    graph.prune_unused();
}

#[cfg(test)]
mod tests {
    use potstill_core::builder::GraphBuilder;
    use potstill_core::graph::Init;
    use potstill_core::op::Role;

    use super::*;

    #[test]
    fn a_batch_norm_for_training_becomes_one_for_inference() {
        let mut builder = GraphBuilder::new("one", 0);
        let x = builder.input("x", &[2, 4, 4]);
        let y = builder.batch_norm("bn", &x).unwrap();
        builder.output("y", &y).unwrap();
        let mut graph = builder.finish().unwrap();
        let node = &mut graph.nodes[0];
        node.attributes
            .insert("training_mode".to_owned(), Attribute::Int(1));
        node.outputs.extend(["mean".to_owned(), "variance".to_owned()]);
        inference_form(&mut graph);
        assert_eq!(graph.nodes[0].outputs, ["y"]);
        assert_eq!(graph.nodes[0].attributes["training_mode"], Attribute::Int(0));
    }

    #[test]
    fn statistics_that_somebody_reads_stay() {
        let mut builder = GraphBuilder::new("one", 0);
        let x = builder.input("x", &[2, 4, 4]);
        let outputs = ["bn", "mean", "variance"];
        let scale = builder.tensor("scale", Role::Weight, &[2], Init::Fill(1.0));
        let inputs = [x.as_str(), &scale, &scale, &scale, &scale];
        let made = builder
            .node_with_outputs("bn", "BatchNormalization", &inputs, &outputs, [])
            .unwrap();
        builder.output("mean_of_batch", &made[1]).unwrap();
        let mut graph = builder.finish().unwrap();
        inference_form(&mut graph);
        assert_eq!(graph.nodes[0].outputs.len(), 3);
    }

    #[test]
    fn names_left_empty_at_the_end_are_left_out() {
        let mut builder = GraphBuilder::new("one", 0);
        let x = builder.input("x", &[2, 4, 4]);
        let y = builder.node("clip", "Clip", &[&x, "", ""], []).unwrap();
        let least = builder.ints("sizes", &[1, 2, 8, 8]);
        let y = builder
            .node("resize", "Resize", &[&y, "", "", &least], [])
            .unwrap();
        builder.output("y", &y).unwrap();
        let mut graph = builder.finish().unwrap();
        graph.nodes[0].outputs.push(String::new());
        inference_form(&mut graph);
        assert_eq!(graph.nodes[0].inputs, ["x"]);
        assert_eq!(graph.nodes[0].outputs, ["clip"]);
        assert_eq!(graph.nodes[1].inputs, ["clip", "", "", "sizes"]);
    }
}
