//! What is known of values while nodes are replaced.

use potstill_core::graph::{Facts, Graph, Node, infer, infer_node};
use potstill_core::op::Dim;

/// What is known of the values so far, at two batch sizes: what comes out the same holds for every
/// batch. `None` after a node that is not understood.
pub(super) struct Shapes(pub Option<[Facts; 2]>);

impl Shapes {
    /// Of inputs and stored tensors. Nothing is known for sure where more than the first axis of an
    /// input is open.
    pub(super) fn of(graph: &Graph) -> Self {
        let open = graph.inputs.iter().any(|input| {
            let mut further = input.dims.iter().flatten().skip(1);
            further.any(|dim| !matches!(dim, Dim::Known(_)))
        });
        let facts = match (open, infer(graph, 1), infer(graph, 2)) {
            (false, Ok(one), Ok(two)) => Some([one, two]),
            _ => None,
        };
        Self(facts)
    }

    /// Adds stored tensors: those of a graph without nodes.
    pub(super) fn extend(&mut self, graph: &Graph) {
        let more = Self::of(graph).0;
        match (&mut self.0, more) {
            (Some(facts), Some(more)) => facts
                .iter_mut()
                .zip(more)
                .for_each(|(facts, more)| facts.extend(more)),
            (facts, _) => *facts = None,
        }
    }

    pub(super) fn add(&mut self, node: &Node) {
        let understood =
            |facts: &mut [Facts; 2]| facts.iter_mut().all(|facts| infer_node(node, facts).is_ok());
        if !self.0.as_mut().is_some_and(understood) {
            self.0 = None;
        }
    }
}
