//! What ONNX does not have in `float16`: a Range's numbers, the scales of a Resize. Nodes read and
//! make those in `float`, between casts; constants among them are stored a second time, as they
//! were, because 1.3 in half precision is another size of picture.

use std::collections::HashSet;
use std::ops::Range;

use burn::tensor::TensorData;
use potstill_core::graph::{Facts, FreshNames, Graph, Node, StoredTensor, infer};
use potstill_core::op::{ElementType, Role};
use potstill_core::value::Kind;

use super::cast;
use crate::ExportError;

/// Names of what stays in single precision.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Stored tensors.
    pub tensors: HashSet<String>,
    /// Nodes that cast to `float`.
    pub casts: HashSet<String>,
}

/// What of a node is `float` in any case.
struct Single {
    /// Places of its inputs.
    inputs: Range<usize>,
    /// Whether its outputs are.
    outputs: bool,
}

/// From ONNX's type constraints, `onnx.defs.get_all_schemas_with_history()`.
fn single(node: &Node, opset: i64) -> Option<Single> {
    let all = 0..node.inputs.len();
    let (inputs, outputs) = match (node.op.name(), opset) {
        ("Resize" | "Upsample", _) => (all.end.min(1)..all.end, false),
        ("Range" | "Celu", _) => (all, true),
        ("CumSum", ..14) => (all, true),
        ("IsInf", ..20) => (all, false),
        _ => return None,
    };
    Some(Single { inputs, outputs })
}

/// Gives such nodes inputs and outputs of their own in single precision.
///
/// # Errors
/// A node that refuses its inputs.
pub(super) fn keep_single(graph: &mut Graph, names: &mut FreshNames) -> Result<Kept, ExportError> {
    let mut kept = Kept::default();
    let opset = graph.model.opset();
    if graph.nodes.iter().all(|node| single(node, opset).is_none()) {
        return Ok(kept);
    }
    // What is known at two batch sizes alike is a constant.
    let facts = [infer(graph, 1)?, infer(graph, 2)?];
    let is_float = |name: &String| facts[0].get(name).is_some_and(|fact| fact.kind == Kind::Float);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        let Some(Single { inputs, outputs }) = single(&node, opset) else {
            nodes.push(node);
            continue;
        };
        for input in node.inputs[inputs].iter_mut().filter(|name| is_float(name)) {
            let own = names.make(&format!("{input}_single"));
            if let Some(data) = constant(&facts, input) {
                let role = Role::Constant;
                graph.tensors.insert(own.clone(), StoredTensor { role, data });
                kept.tensors.insert(own.clone());
            } else {
                let label = names.make(&format!("{own}_cast"));
                kept.casts.insert(label.clone());
                nodes.push(cast(label, input, &own, ElementType::Float));
            }
            *input = own;
        }
        let mut halves = Vec::new();
        for output in node.outputs.iter_mut().filter(|name| outputs && is_float(name)) {
            let own = names.make(&format!("{output}_single"));
            let label = names.make(&format!("{own}_cast"));
            halves.push(cast(label, &own, output, ElementType::Float16));
            *output = own;
        }
        nodes.push(node);
        nodes.append(&mut halves);
    }
    graph.nodes = nodes;
    Ok(kept)
}

/// The numbers of a value that are the same for every batch.
fn constant(facts: &[Facts; 2], name: &str) -> Option<TensorData> {
    let [one, two] = facts.each_ref().map(|facts| facts.get(name)?.value.clone());
    let (one, two) = (one?, two?);
    (one.to_floats() == two.to_floats()).then(|| one.into_data())
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use potstill_core::builder::{Conv, GraphBuilder};
    use potstill_core::op::Attribute;

    use super::super::to_half;
    use super::*;
    use crate::{Export, ExportPrecision};

    /// A picture that is enlarged by scales that a Constant holds, and weighed by 0, 1, 2, ….
    fn network() -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3, 8, 8]);
        let x = b.conv("conv", &x, Conv::same(4, 3)).unwrap();
        let scales = [("value_floats", Attribute::Floats(vec![1.0, 1.0, 1.3, 1.3]))];
        let scales = b.node("scales", "Constant", &[], scales).unwrap();
        let x = b.node("resize", "Resize", &[&x, "", &scales], []).unwrap();
        let x = b.global_pool("pool", &x).unwrap();
        let number = |x: f32| TensorData::new(vec![x], Vec::<usize>::new());
        let ends = [("from", 0.0), ("to", 4.0), ("by", 1.0)];
        let ends = ends.map(|(name, x)| b.store(name, Role::Constant, number(x)));
        let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
        let range = b.node("range", "Range", &ends, []).unwrap();
        let y = b.node("y", "Mul", &[&x, &range], []).unwrap();
        b.output("y", &y).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn what_onnx_has_in_no_half_precision_stays_single() {
        let mut graph = network();
        to_half(&mut graph).unwrap();
        graph.validate().unwrap();
        let scales = &graph.tensors["scales_single"].data;
        assert_eq!(scales.dtype(), DType::F32);
        assert_eq!(scales.iter::<f32>().collect::<Vec<_>>(), [1.0, 1.0, 1.3, 1.3]);
        assert_eq!(graph.tensors["conv.weight"].data.dtype(), DType::F16);
        let range = graph.nodes.iter().find(|node| node.name == "range").unwrap();
        assert_eq!(range.outputs, ["range_single"]);
        for input in &range.inputs {
            assert_eq!(graph.tensors[input].data.dtype(), DType::F32, "{input}");
        }
    }

    #[test]
    fn a_network_of_such_nodes_runs_in_tract() {
        let export = Export {
            precision: ExportPrecision::Fp16(Vec::new()),
            ..Export::default()
        };
        export.make(&network()).unwrap();
    }
}
