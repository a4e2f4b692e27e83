//! Half precision: weights and computation in `float16`, inputs and outputs as they are declared,
//! with casts at the borders.
//!
//! Numbers that `float16` cannot hold are looked at, because what they become decides what the
//! network computes:
//!
//! - What is not zero stays so: an ε (1e-12, the floor of a norm) or an element of a weight whose
//!   `float16` would be 0 becomes 1e-7, as onnxconverter-common has it. A single factor that would
//!   be 0 is refused, with its node (`number.rs`).
//! - What is beyond the largest number, 65504, is cut to it where it is a bound or stands for
//!   infinity (a mask's −1e9); elsewhere it is refused, with its node.
//!
//! What comes of all that is compared with the network as it was (`seen.rs`): where other numbers
//! have moved its outputs, it is refused, with the first node that makes others. What ONNX does not
//! have in `float16` stays `float` (`single.rs`).

mod number;
mod seen;
mod single;

pub use seen::{refuse_change, refuse_overflow};

use std::collections::HashMap;

use burn::tensor::TensorData;
use indexmap::IndexMap;
use potstill_core::graph::{FreshNames, Graph, Node};
use potstill_core::op::{Attribute, Attributes, ElementType};
use potstill_core::ops::binary::{Arithmetic, Binary};
use potstill_core::ops::cast::Cast;
use potstill_core::ops::gemm::Gemm;

use crate::ExportError;
use crate::quantise::refuse_integers;
use number::{LEAST, half, readers, vanishes};
use single::keep_single;

/// Puts a graph into half precision.
///
/// # Errors
/// A number that `float16` cannot hold, a node in integers.
pub fn to_half(graph: &mut Graph) -> Result<(), ExportError> {
    refuse_integers(graph)?;
    let mut names = graph.fresh_names();
    let kept = keep_single(graph, &mut names)?;
    for name in graph.tensors.keys().cloned().collect::<Vec<_>>() {
        if !kept.tensors.contains(&name) {
            let data = half(&graph.tensors[&name].data, &name, &readers(graph, &name))?;
            graph.tensors[&name].data = data;
        }
    }
    for index in 0..graph.nodes.len() {
        if !kept.casts.contains(&graph.nodes[index].name) {
            let attributes = half_attributes(graph, index)?;
            graph.nodes[index].attributes = attributes;
        }
    }
    part_biases(graph, &mut names);
    cast_borders(graph, &mut names);
    graph.prune_unused();
    Ok(())
}

/// The attributes of the node at `index` in half precision.
fn half_attributes(graph: &Graph, index: usize) -> Result<Attributes, ExportError> {
    let node = &graph.nodes[index];
    let output = node.outputs.first().map_or("", String::as_str);
    let mut readers = readers(graph, output);
    if readers.is_empty() {
        readers.push(node);
    }
    let tensor = |data: &TensorData| {
        let data = half(data, output, &readers)?;
        Ok::<_, ExportError>(("value".to_owned(), Attribute::Tensor(String::new(), data)))
    };
    let made = |(key, attribute): (&String, &Attribute)| {
        Ok(match (node.op.name(), key.as_str(), attribute) {
            // Only a tensor says of what type it is.
            ("Constant", "value_float", Attribute::Float(x)) => {
                tensor(&TensorData::new(vec![*x], Vec::<usize>::new()))?
            }
            ("Constant", "value_floats", Attribute::Floats(x)) => {
                tensor(&TensorData::new(x.clone(), [x.len()]))?
            }
            (_, _, Attribute::Tensor(name, data)) => {
                let data = half(data, output, &readers)?;
                (key.clone(), Attribute::Tensor(name.clone(), data))
            }
            // What is added, and what bounds.
            (_, "epsilon", Attribute::Float(x))
            | ("Clip", "min" | "max", Attribute::Float(x))
            | ("LRN", "bias", Attribute::Float(x))
                if vanishes(*x) =>
            {
                (key.clone(), Attribute::Float(x.signum() * LEAST))
            }
            ("Cast" | "EyeLike", "to" | "dtype", Attribute::Int(to)) if is_wide(*to) => {
                (key.clone(), Attribute::Int(ElementType::Float16 as i64))
            }
            _ => (key.clone(), attribute.clone()),
        })
    };
    let mut attributes = node
        .attributes
        .iter()
        .map(made)
        .collect::<Result<Attributes, ExportError>>()?;
    // What these make is of floats unless they say otherwise.
    if node.op.name() == "ConstantOfShape" && attributes.is_empty() {
        let (key, zero) = tensor(&TensorData::new(vec![0.0_f32], [1]))?;
        attributes.insert(key, zero);
    }
    if node.op.name() == "EyeLike" && attributes.get("dtype").is_none() {
        let half = Attribute::Int(ElementType::Float16 as i64);
        attributes.insert("dtype".to_owned(), half);
    }
    Ok(attributes)
}

/// Whether ONNX's number of an element type is that of floats that become `float16`.
fn is_wide(code: i64) -> bool {
    let element = ElementType::from_code(code);
    element.is_some_and(|element| is_float(Some(element)))
}

/// The operator set from which on a Gemm may lack its bias.
const BIAS_OPTIONAL: i64 = 11;

/// Adds the bias of a Gemm by a node of its own: tract multiplies it by a `float`, whatever its
/// type.
fn part_biases(graph: &mut Graph, names: &mut FreshNames) {
    if graph.model.opset() < BIAS_OPTIONAL {
        return;
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        let plain = node
            .op
            .downcast::<Gemm>()
            .is_some_and(|gemm| gemm.alpha == 1.0 && gemm.beta == 1.0);
        let bias = node
            .inputs
            .get(2)
            .filter(|bias| plain && !bias.is_empty())
            .cloned();
        let (Some(bias), [output]) = (bias, node.outputs.as_slice()) else {
            nodes.push(node);
            continue;
        };
        let product = names.make(&format!("{output}_product"));
        let sum = Node {
            name: names.make(&format!("{output}_sum")),
            op: Box::new(Binary(Arithmetic::Add)),
            attributes: IndexMap::new(),
            inputs: vec![product.clone(), bias],
            outputs: std::mem::replace(&mut node.outputs, vec![product]),
            doc: String::new(),
        };
        node.inputs.truncate(2);
        nodes.extend([node, sum]);
    }
    graph.nodes = nodes;
}

/// A cast after each float input and before each float output; the names of inputs and outputs
/// stay.
fn cast_borders(graph: &mut Graph, names: &mut FreshNames) {
    let mut first = Vec::new();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for input in graph.inputs.iter().filter(|input| is_float(input.element)) {
        let inside = names.make(&format!("{}_half", input.name));
        let node = names.make(&format!("{inside}_cast"));
        first.push(cast(node, &input.name, &inside, ElementType::Float16));
        renamed.insert(input.name.clone(), inside);
    }
    let mut last = Vec::new();
    for output in graph.outputs.iter().filter(|output| is_float(output.element)) {
        if graph.producer(&output.name).is_none() {
            continue;
        }
        let inside = names.make(&format!("{}_half", output.name));
        let node = names.make(&format!("{inside}_cast"));
        let element = output.element.unwrap_or(ElementType::Float);
        last.push(cast(node, &inside, &output.name, element));
        renamed.insert(output.name.clone(), inside);
    }
    for node in &mut graph.nodes {
        for name in node.inputs.iter_mut().chain(&mut node.outputs) {
            if let Some(new) = renamed.get(name) {
                name.clone_from(new);
            }
        }
    }
    first.append(&mut graph.nodes);
    first.append(&mut last);
    graph.nodes = first;
}

/// Whether a border, or what a Cast makes, becomes `float16` inside. A border whose type is not
/// stated is one of floats.
fn is_float(element: Option<ElementType>) -> bool {
    matches!(
        element,
        None | Some(ElementType::Float | ElementType::Double | ElementType::Bfloat16)
    )
}

fn cast(name: String, from: &str, to: &str, element: ElementType) -> Node {
    Node {
        name,
        op: Box::new(Cast { to: Some(element) }),
        attributes: IndexMap::from([("to".to_owned(), Attribute::Int(element as i64))]),
        inputs: vec![from.to_owned()],
        outputs: vec![to.to_owned()],
        doc: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, Tensor};
    use potstill_core::builder::GraphBuilder;
    use potstill_core::graph::Init;
    use potstill_core::op::Role;
    use potstill_core::zoo;

    #[test]
    fn the_borders_keep_their_names_and_types() {
        let mut graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        to_half(&mut graph).unwrap();
        graph.validate().unwrap();
        assert_eq!(graph.inputs[0].name, "input");
        assert_eq!(graph.nodes.last().unwrap().outputs, ["logits"]);
        assert!(
            graph
                .tensors
                .values()
                .all(|tensor| tensor.data.dtype() == DType::F16)
        );
    }

    #[test]
    fn casts_and_sums_get_names_that_nobody_has() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let own = b.tensor("input_half", Role::Weight, &[3], Init::Fill(2.0));
        let x = b.node("logits_product", "Mul", &[&x, &own], []).unwrap();
        let x = b.node("input_half_cast", "Relu", &[&x], []).unwrap();
        let y = b.linear("fc", &x, 4).unwrap();
        b.output("logits", &y).unwrap();
        let mut graph = b.finish().unwrap();
        to_half(&mut graph).unwrap();
        graph.validate().unwrap();
        let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        let own: Vec<f32> = graph.tensors["input_half"].data.iter().collect();
        assert_eq!(own, [2.0; 3]);
    }

    /// One operator with a constant beside the picture, in half precision.
    fn with_constant(operator: &str, numbers: &[f32]) -> Result<Vec<f32>, String> {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[numbers.len()]);
        let data = TensorData::new(numbers.to_vec(), [numbers.len()]);
        let data = match numbers {
            [number] => TensorData::new(vec![*number], Vec::<usize>::new()),
            _ => data,
        };
        let constant = b.store("constant", Role::Constant, data);
        let y = b.node("y", operator, &[&x, &constant], []).unwrap();
        b.output("y", &y).unwrap();
        let mut graph = b.finish().unwrap();
        to_half(&mut graph).map_err(|error| error.to_string())?;
        let data = graph.tensors["constant"].data.clone();
        Ok(data.convert_dtype(DType::F32).iter().collect())
    }

    #[test]
    fn numbers_beyond_half_precision_are_cut_where_they_bound() {
        assert_eq!(with_constant("Clip", &[-1e6]).unwrap(), [-65504.0]);
        assert_eq!(with_constant("Min", &[1e6, 0.5]).unwrap(), [65504.0, 0.5]);
        // Masks.
        assert_eq!(with_constant("Add", &[0.0, -1e9]).unwrap(), [0.0, -65504.0]);
        assert_eq!(with_constant("Add", &[f32::MIN]).unwrap(), [-65504.0]);
    }

    #[test]
    fn a_number_that_would_be_infinite_is_refused_with_its_node() {
        let error = with_constant("Mul", &[1e6]).unwrap_err();
        assert!(error.contains("node `y` (Mul)"), "{error}");
        assert!(error.contains("`constant`") && error.contains("1e6"), "{error}");
        assert!(with_constant("Add", &[0.5, -70000.0]).is_err());
    }

    /// NumPy: `float16(1e-7)` is 2⁻²³, `float16(1e-6)` is 17 · 2⁻²⁴.
    #[test]
    fn what_is_not_zero_stays_so() {
        let least = 2.0_f32.powi(-23);
        assert_eq!(with_constant("Clip", &[1e-12]).unwrap(), [least]);
        assert_eq!(with_constant("Add", &[-1e-30]).unwrap(), [-least]);
        let beside_others = with_constant("Add", &[1.0, -1e-12, 0.0]).unwrap();
        assert_eq!(beside_others, [1.0, -least, 0.0]);
        assert_eq!(with_constant("Mul", &[1e-12, 1.0]).unwrap(), [least, 1.0]);
        assert_eq!(with_constant("Add", &[1e-6]).unwrap(), [8.5 * least]);
        let error = with_constant("Mul", &[1e-12]).unwrap_err();
        assert!(
            error.contains("node `y` (Mul)") && error.contains("1e-12"),
            "{error}"
        );
    }

    /// A picture times 3e4 twice and a factor of 1e-9 that is moved about before it is one.
    fn with_moved_factor(factor: &[f32], moves: &[&str]) -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[factor.len(), 2, 2]);
        let data = TensorData::new(factor.to_vec(), [1, factor.len(), 1, 1]);
        let mut tiny = b.store("tiny", Role::Constant, data);
        let shape = b.ints("shape", &[1, factor.len() as i64, 1, 1]);
        for (index, operator) in moves.iter().enumerate() {
            let inputs = match *operator {
                "Identity" => vec![tiny.as_str()],
                _ => vec![tiny.as_str(), &shape],
            };
            tiny = b.node(&format!("moved{index}"), operator, &inputs, []).unwrap();
        }
        let mut y = b.node("product", "Mul", &[&x, &tiny], []).unwrap();
        let large = TensorData::new(vec![3e4_f32], Vec::<usize>::new());
        let large = b.store("large", Role::Constant, large);
        for name in ["larger", "y"] {
            y = b.node(name, "Mul", &[&y, &large], []).unwrap();
        }
        b.output("y", &y).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn a_factor_is_one_wherever_it_was_moved() {
        for moves in [&["Identity"][..], &["Reshape", "Identity"], &["Expand"]] {
            let error = to_half(&mut with_moved_factor(&[1e-9], moves)).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("node `product` (Mul)"), "{moves:?}: {error}");
        }
    }

    /// Each of the factors becomes 1e-7, a hundred times what it was.
    #[test]
    fn a_network_that_computes_something_else_is_refused_with_its_node() {
        let single = with_moved_factor(&[1e-9, 2e-9], &[]);
        let mut changed = single.clone();
        to_half(&mut changed).unwrap();
        let pictures = [Tensor::<4>::full([1, 2, 2, 2], 2.0, &Device::flex())];
        for pictures in [&pictures[..], &[]] {
            let error = refuse_change(&single, &changed, pictures)
                .unwrap_err()
                .to_string();
            assert!(error.contains("node `product` (Mul)"), "{error}");
        }
        let same = with_moved_factor(&[1e-3, 1.0], &[]);
        let mut half = same.clone();
        to_half(&mut half).unwrap();
        refuse_change(&same, &half, &pictures).unwrap();
    }

    /// Before operator set 11, Clip has its bounds in attributes.
    #[test]
    fn a_bound_in_an_attribute_stays_a_number_too() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[4]);
        let y = b.node("y", "Clip", &[&x], []).unwrap();
        b.output("y", &y).unwrap();
        let mut graph = b.finish().unwrap();
        let bound = ("min".to_owned(), Attribute::Float(1e-12));
        graph.nodes[0].attributes.extend([bound]);
        to_half(&mut graph).unwrap();
        let clip = graph.nodes.iter().find(|node| node.name == "y").unwrap();
        assert_eq!(clip.attributes["min"], Attribute::Float(1e-7));
    }

    #[test]
    fn an_epsilon_of_a_node_stays_a_number_too() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[4]);
        let scale = b.store("scale", Role::Weight, TensorData::new(vec![1.0_f32; 4], [4]));
        let tiny = [("epsilon", Attribute::Float(1e-12))];
        let y = b.node("norm", "LayerNormalization", &[&x, &scale], tiny).unwrap();
        let small = [("epsilon", Attribute::Float(1e-5))];
        let y = b
            .node("other", "LayerNormalization", &[&y, &scale], small)
            .unwrap();
        b.output("y", &y).unwrap();
        let mut graph = b.finish().unwrap();
        to_half(&mut graph).unwrap();
        let epsilon = |name: &str| {
            let node = graph.nodes.iter().find(|node| node.name == name).unwrap();
            node.attributes["epsilon"].clone()
        };
        assert_eq!(epsilon("norm"), Attribute::Float(1e-7));
        assert_eq!(epsilon("other"), Attribute::Float(1e-5));
    }

    #[test]
    fn a_value_that_grows_beyond_half_precision_is_refused_with_its_node() {
        let network = |factor: f32| {
            let mut b = GraphBuilder::new("net", 0);
            let x = b.input("input", &[1, 2, 2]);
            let factor = b.store(
                "factor",
                Role::Constant,
                TensorData::new(vec![factor], Vec::<usize>::new()),
            );
            let y = b.node("large", "Mul", &[&x, &factor], []).unwrap();
            let y = b.node("y", "Mul", &[&y, &factor], []).unwrap();
            b.output("y", &y).unwrap();
            b.finish().unwrap()
        };
        let pictures = [Tensor::<4>::full([1, 1, 2, 2], 2.0, &Device::flex())];
        let error = refuse_overflow(&network(200.0), &pictures)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("node `y` (Mul)") && error.contains("8e4"),
            "{error}"
        );
        refuse_overflow(&network(180.0), &pictures).unwrap();
        refuse_overflow(&network(200.0), &[]).unwrap();
    }

    #[test]
    fn constants_of_every_form_become_halves() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[2]);
        let one = b
            .node("one", "Constant", &[], [("value_float", 1.5.into())])
            .unwrap();
        let two = b
            .node(
                "two",
                "Constant",
                &[],
                [("value_floats", Attribute::Floats(vec![1.0, 2.0]))],
            )
            .unwrap();
        let shape = b.ints("shape", &[2]);
        let zeros = b.node("zeros", "ConstantOfShape", &[&shape], []).unwrap();
        let y = b.node("y", "Sum", &[&x, &one, &two, &zeros], []).unwrap();
        b.output("y", &y).unwrap();
        let mut graph = b.finish().unwrap();
        to_half(&mut graph).unwrap();
        for name in ["one", "two", "zeros"] {
            let node = graph.nodes.iter().find(|node| node.name == name).unwrap();
            let Attribute::Tensor(_, data) = &node.attributes["value"] else {
                panic!("{name}: {:?}", node.attributes);
            };
            assert_eq!((node.attributes.len(), data.dtype()), (1, DType::F16), "{name}");
        }
    }
}
