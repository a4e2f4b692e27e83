//! Binary weights: ±α for each filter, while the student is taught and in its file. M. Rastegari et
//! al.: "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", 2016 (arXiv
//! 1603.05279), section 3.1.
//!
//! The trained weights stay floats behind their signs, and take the gradient straight through. The
//! first and the last layer are left as they are, as in the paper. Brings no loss: it goes with a
//! method that has one (`--plugin kd --plugin binarize`). The file holds ±α as floats, which any
//! runtime computes with.

use potstill_core::graph::Graph;
use potstill_core::ops::binarize::Binarize;
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

options! {
    /// Binary weights.
    pub struct BinaryWeights for "binarize" {
        /// whether the first and the last layer are binary too
        all_layers: bool = false;
    }
}

impl Plugin for BinaryWeights {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn rewrite(&self, graph: &mut Graph) -> Result<(), PluginError> {
        let mut layers: Vec<usize> = (0..graph.nodes.len())
            .filter(|index| graph.weight_of(*index).is_some())
            .collect();
        if !self.all_layers {
            layers.pop();
            layers.drain(..layers.len().min(1));
        }
        // From the end, so that the indices before stay.
        for index in layers.into_iter().rev() {
            graph.insert_before_weight(index, "binary-weight", |axis| Box::new(Binarize { axis }));
        }
        Ok(())
    }

    fn prepare(&self, _plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, _record: &Recorded) -> Result<Vec<Term>, PluginError> {
        Ok(Vec::new())
    }
}

impl Prepared for BinaryWeights {
    fn loss(&mut self, _step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        Ok(Vec::new())
    }
}

inventory::submit! {
    PluginEntry::new::<BinaryWeights>(
        "weights of ±α for each filter, in training and in the file; goes with a method that distils",
        Paper {
            title: "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks",
            authors: "Rastegari, Ordonez, Redmon, Farhadi",
            year: 2016,
            arxiv: "1603.05279",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use potstill_core::zoo;

    #[test]
    fn all_layers_but_the_first_and_the_last_are_binary() {
        let mut graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        let weights = (0..graph.nodes.len())
            .filter(|index| graph.weight_of(*index).is_some())
            .count();
        BinaryWeights::default().rewrite(&mut graph).unwrap();
        graph.validate().unwrap();
        let binary = graph
            .nodes
            .iter()
            .filter(|node| node.op.downcast::<Binarize>().is_some());
        assert_eq!(binary.count(), weights - 2);
    }
}
