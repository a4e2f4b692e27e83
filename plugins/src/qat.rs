//! Quantisation-aware distillation: the student computes as in 8-bit integers while it is taught.
//! B. Jacob et al.: "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", 2018 (arXiv 1712.05877), section 3.
//!
//! Weights and activations are rounded to the steps of `int8` in the student's graph, with a
//! straight-through gradient. Brings no loss: it goes with a method that has one
//! (`--plugin kd --plugin qat`). The student is written with QuantizeLinear and DequantizeLinear,
//! in the ranges that training has seen. Each channel of a weight has its scale, so that folding
//! BatchNorm afterwards changes the scale and not the integers.

use burn::tensor::TensorData;
use potstill_core::graph::{Graph, Role, StoredTensor};
use potstill_core::ops::fake_quantize::{FakeQuantize, FakeQuantizeWeight};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

options! {
    /// Quantisation-aware training. It has no options.
    pub struct Qat for "qat" {}
}

impl Plugin for Qat {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn rewrite(&self, graph: &mut Graph) -> Result<(), PluginError> {
        let mut names = graph.fresh_names();
        for value in graph.quantisable_values()? {
            let ends = ["low", "high"];
            let bounds: Vec<String> = ends.map(|end| names.make(&format!("{value}.{end}"))).into();
            for bound in &bounds {
                let tensor = StoredTensor {
                    role: Role::Buffer,
                    data: TensorData::new(vec![0.0_f32], [1]),
                };
                graph.tensors.insert(bound.clone(), tensor);
            }
            let name = names.make(&format!("{value}.rounded"));
            graph.insert_behind(&value, &name, Box::new(FakeQuantize), bounds);
        }
        let mut index = 0;
        while index < graph.nodes.len() {
            let inserted = graph.insert_before_weight(index, "rounded-weight", |axis| {
                Box::new(FakeQuantizeWeight { axis })
            });
            index += 1 + usize::from(inserted);
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

impl Prepared for Qat {
    fn loss(&mut self, _step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        Ok(Vec::new())
    }
}

inventory::submit! {
    PluginEntry::new::<Qat>(
        "the student computes in the steps of 8-bit integers while it learns; goes with a method that distils",
        Paper {
            title: "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
            authors: "Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko",
            year: 2018,
            arxiv: "1712.05877",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use potstill_core::builder::GraphBuilder;
    use potstill_core::graph::Init;
    use potstill_core::zoo;

    #[test]
    fn what_is_added_does_not_take_the_names_of_others() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let own = b.tensor("input.low", Role::Weight, &[3], Init::Fill(2.0));
        let x = b.node("input.rounded", "Mul", &[&x, &own], []).unwrap();
        let x = b.node("fc.rounded-weight", "Relu", &[&x], []).unwrap();
        let y = b.linear("fc", &x, 4).unwrap();
        b.output("logits", &y).unwrap();
        let mut graph = b.finish().unwrap();
        Qat::default().rewrite(&mut graph).unwrap();
        graph.validate().unwrap();
        let own: Vec<f32> = graph.tensors["input.low"].data.iter().collect();
        assert_eq!(own, [2.0; 3]);
        assert!(graph.tensors.contains_key("input.low_2"));
    }

    #[test]
    fn every_weight_and_activation_of_a_student_is_rounded() {
        let mut graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        let weights = (0..graph.nodes.len())
            .filter(|index| graph.weight_of(*index).is_some())
            .count();
        let values = graph.quantisable_values().unwrap().len();
        Qat::default().rewrite(&mut graph).unwrap();
        graph.validate().unwrap();
        let rounded = |graph: &Graph| {
            let of = |weight: bool| {
                let is = |node: &&potstill_core::graph::Node| {
                    if weight {
                        node.op.downcast::<FakeQuantizeWeight>().is_some()
                    } else {
                        node.op.downcast::<FakeQuantize>().is_some()
                    }
                };
                graph.nodes.iter().filter(is).count()
            };
            (of(true), of(false))
        };
        assert_eq!(rounded(&graph), (weights, values));
    }
}
