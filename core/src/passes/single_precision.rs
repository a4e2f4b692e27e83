//! Single precision throughout: what else a file must have before it is trained.
//!
//! Training computes and stores `float32`, whatever a file holds. A network whose file is in half
//! precision (or in double) would come out as a mixture: new weights of one type beside casts,
//! constants and inputs of another, which runtimes refuse.

use burn::tensor::DType;

use crate::graph::{Graph, GraphError};
use crate::op::{Attribute, ElementType};
use crate::ops::table;
use crate::value::Kind;

impl Graph {
    /// Puts all floats into `float32`: stored tensors, constants and casts in nodes, the declared
    /// types of inputs and outputs.
    ///
    /// # Errors
    /// A node that its operator refuses in that form.
    pub fn single_precision(&mut self) -> Result<(), GraphError> {
        for tensor in self.tensors.values_mut() {
            if is_other(tensor.data.dtype()) {
                tensor.data = tensor.data.clone().convert_dtype(DType::F32);
            }
        }
        let io = self.inputs.iter_mut().chain(&mut self.outputs);
        for declared in io.chain(&mut self.annotations) {
            if declared
                .element
                .is_some_and(|element| element.kind() == Kind::Float)
            {
                declared.element = Some(ElementType::Float);
            }
        }
        let opset = self.model.opset();
        let tensors = &self.tensors;
        for node in &mut self.nodes {
            let mut changed = false;
            for (key, attribute) in &mut node.attributes {
                changed |= widen(key, attribute);
            }
            if !changed {
                continue;
            }
            let stored = |name: &String| tensors.get(name).map(|tensor| tensor.data.dtype());
            let stored: Vec<Option<DType>> = node.inputs.iter().map(stored).collect();
            let (name, outputs) = (node.op.name(), node.outputs.len());
            if let Some(read) = table::read_stored(name, opset, &stored, outputs, &node.attributes) {
                node.op = read.map_err(|source| GraphError::Node {
                    node: node.label().to_owned(),
                    op: name.to_owned(),
                    source,
                })?;
            }
        }
        Ok(())
    }
}

fn is_other(dtype: DType) -> bool {
    dtype.is_float() && dtype != DType::F32
}

/// Puts an attribute into single precision; whether it was in another.
fn widen(key: &str, attribute: &mut Attribute) -> bool {
    match attribute {
        Attribute::Tensor(_, data) if is_other(data.dtype()) => {
            *data = data.clone().convert_dtype(DType::F32);
            true
        }
        // What Cast and those that make numbers call the type of their result.
        Attribute::Int(code) if matches!(key, "to" | "dtype") => {
            let element = ElementType::from_code(*code);
            let other =
                element.is_some_and(|element| element.kind() == Kind::Float && element != ElementType::Float);
            if other {
                *code = ElementType::Float as i64;
            }
            other
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::builder::GraphBuilder;
    use crate::graph::Init;
    use crate::op::Role;

    #[test]
    fn a_network_in_half_precision_keeps_its_numbers_and_loses_its_type() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let weight = b.tensor("weight", Role::Weight, &[3], Init::Fill(0.1));
        let half = TensorData::new(vec![2.5_f32], [1]).convert_dtype(DType::F16);
        let two = Attribute::Tensor(String::new(), half);
        let two = b.node("two", "Constant", &[], [("value", two)]).unwrap();
        let cast = [("to", (ElementType::Float16 as i64).into())];
        let y = b.node("cast", "Cast", &[&x], cast).unwrap();
        let y = b.node("product", "Mul", &[&y, &weight], []).unwrap();
        let y = b.node("output", "Mul", &[&y, &two], []).unwrap();
        b.output("output", &y).unwrap();
        let mut graph = b.finish().unwrap();
        let weight = &mut graph.tensors["weight"];
        weight.data = weight.data.clone().convert_dtype(DType::F16);
        graph.inputs[0].element = Some(ElementType::Float16);
        graph.outputs[0].element = Some(ElementType::Double);
        graph.single_precision().unwrap();
        graph.validate().unwrap();
        // numpy.float16(0.1) is 0.0999755859375.
        let values: Vec<f32> = graph.tensors["weight"].data.iter().collect();
        assert_eq!(values, [0.099_975_586; 3]);
        assert_eq!(graph.tensors["weight"].data.dtype(), DType::F32);
        assert_eq!(graph.inputs[0].element, Some(ElementType::Float));
        assert_eq!(graph.outputs[0].element, Some(ElementType::Float));
        let node = |name: &str| graph.nodes.iter().find(|node| node.name == name).unwrap();
        assert_eq!(
            node("cast").attributes["to"],
            Attribute::Int(ElementType::Float as i64)
        );
        let Attribute::Tensor(_, data) = &node("two").attributes["value"] else {
            panic!("{:?}", node("two").attributes);
        };
        assert_eq!(data.iter::<f32>().collect::<Vec<_>>(), [2.5]);
        assert_eq!(data.dtype(), DType::F32);
    }
}
