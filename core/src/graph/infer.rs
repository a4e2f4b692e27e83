//! Shapes of all values at one batch size.
//!
//! A node whose inputs all follow from constants and shapes is computed here and now (`Shape →
//! Gather → Concat`), so that operators which take their shape from an input find it. Everything
//! else is asked for its output shape alone.

use burn::tensor::Device;
use indexmap::IndexMap;

use super::{Graph, GraphError, Node, StoredTensor};
use crate::op::{Fact, Inputs, MOST_ELEMENTS, Mode, Role, RunContext, ValueInfo, element_count};
use crate::precision::Precision;
use crate::value::{Kind, Value};

/// A fact for each value and tensor, by name.
pub type Facts = IndexMap<String, Fact>;

/// Values up to this many elements are computed ahead; larger ones are data, not shapes.
const KNOWN_LIMIT: usize = 4096;
/// And what takes more multiply-adds than this is no arithmetic of shapes either.
const KNOWN_WORK: u64 = 1 << 22;

/// Infers shapes for inputs of the declared extents, open axes set by [`ValueInfo::dims_at`] for
/// this batch size.
///
/// # Errors
/// The first node that refuses its inputs, or an input without a shape.
pub fn infer(graph: &Graph, batch: usize) -> Result<Facts, GraphError> {
    let fact = |input: &ValueInfo| {
        let kind = input.element.map_or(Kind::Float, |element| element.kind());
        let dims = input.dims_at(batch).ok_or_else(|| GraphError::MissingInput {
            input: format!("{} (its shape)", input.name),
        })?;
        Ok((input.name.clone(), Fact::new(kind, dims)))
    };
    infer_from(
        graph,
        graph.inputs.iter().map(fact).collect::<Result<_, GraphError>>()?,
    )
}

/// Infers shapes from facts on the inputs.
pub(crate) fn infer_from(graph: &Graph, inputs: Facts) -> Result<Facts, GraphError> {
    let mut facts = inputs;
    for (name, tensor) in &graph.tensors {
        facts.insert(name.clone(), tensor_fact(tensor));
    }
    facts.iter().try_for_each(|(name, fact)| check_size(name, fact))?;
    graph
        .nodes
        .iter()
        .try_for_each(|node| infer_node(node, &mut facts))?;
    Ok(facts)
}

/// Adds what a node makes to the facts on all that comes before it.
///
/// # Errors
/// A node that refuses its inputs, or reads what no fact is known of.
pub fn infer_node(node: &Node, facts: &mut Facts) -> Result<(), GraphError> {
    let made = node_facts(node, facts)?;
    for (name, fact) in node.outputs.iter().zip(made) {
        if !name.is_empty() {
            facts.insert(name.clone(), fact);
        }
    }
    Ok(())
}

/// Refuses extents whose product is beyond any memory.
fn check_size(value: &str, fact: &Fact) -> Result<(), GraphError> {
    if element_count(&fact.dims).is_some() {
        return Ok(());
    }
    Err(GraphError::TooLarge {
        value: value.to_owned(),
        shape: fact.dims.clone(),
        most: MOST_ELEMENTS,
    })
}

pub(crate) fn tensor_fact(tensor: &StoredTensor) -> Fact {
    let dtype = tensor.data.dtype();
    let kind = if dtype.is_bool() {
        Kind::Bool
    } else if dtype.is_float() {
        Kind::Float
    } else {
        Kind::Int
    };
    let dims = tensor.data.shape().to_vec();
    let value = (tensor.role == Role::Constant && tensor.len() <= KNOWN_LIMIT)
        .then(|| Value::from_data(tensor.data.clone(), &Device::flex()));
    Fact { kind, dims, value }
}

pub(crate) fn node_facts(node: &Node, facts: &Facts) -> Result<Vec<Fact>, GraphError> {
    let inputs: Vec<Option<Fact>> = node
        .inputs
        .iter()
        .map(|name| match name.as_str() {
            "" => Ok(None),
            name => facts
                .get(name)
                .cloned()
                .map(Some)
                .ok_or_else(|| GraphError::Unmade {
                    node: node.label().to_owned(),
                    value: name.to_owned(),
                }),
        })
        .collect::<Result<_, _>>()?;
    let refuse = |source| GraphError::Node {
        node: node.label().to_owned(),
        op: node.op.name().to_owned(),
        source,
    };
    let mut made = node.op.infer(&Inputs(&inputs)).map_err(refuse)?;
    for (name, fact) in node.outputs.iter().zip(&made) {
        check_size(name, fact)?;
    }
    let known = inputs.iter().flatten().all(|fact| fact.value.is_some());
    if known
        && made
            .iter()
            .all(|fact| fact.value.is_none() && fact.len() <= KNOWN_LIMIT)
        && node.op.cost(&Inputs(&inputs), &made) <= KNOWN_WORK
    {
        let values: Vec<Option<Value>> = inputs
            .iter()
            .map(|fact| fact.as_ref().and_then(|fact| fact.value.clone()))
            .collect();
        let context = RunContext {
            mode: Mode::Inference,
            device: Device::flex(),
            precision: Precision::Fp32,
        };
        let computed = node.op.run(&Inputs(&values), &context).map_err(refuse)?;
        made = computed.into_iter().map(Fact::known).collect();
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::builder::GraphBuilder;

    #[test]
    fn a_value_beyond_all_memory_is_refused_by_its_name() {
        for dims in [[1 << 40, 1 << 40], [1 << 40, 0]] {
            let mut network = GraphBuilder::new("network", 0);
            let picture = network.input("picture", &[1]);
            let y = network.relu("y", &picture).unwrap();
            network.output("y", &y).unwrap();
            let mut graph = network.finish().unwrap();
            graph.inputs[0].dims = Some(dims.map(crate::op::Dim::Known).to_vec());
            let error = infer(&graph, 1).unwrap_err().to_string();
            assert!(
                error.contains("`picture`") && error.contains("1099511627776"),
                "{error}"
            );
        }
    }

    #[test]
    fn constants_are_computed_ahead_while_that_costs_little() {
        for (kernel, known) in [(3, true), (63, false)] {
            let mut network = GraphBuilder::new("network", 0);
            let picture =
                |extent: usize| TensorData::new(vec![1.0_f32; extent * extent], [1, 1, extent, extent]);
            let x = network.store("x", Role::Constant, picture(63));
            let w = network.store("w", Role::Constant, picture(kernel));
            let pads = vec![kernel as i64 / 2; 4];
            network
                .node("y", "Conv", &[&x, &w], [("pads", pads.into())])
                .unwrap();
            let facts = infer(&network.finish().unwrap(), 1).unwrap();
            assert_eq!(facts["y"].dims, [1, 1, 63, 63]);
            assert_eq!(facts["y"].value.is_some(), known, "a kernel of {kernel}");
        }
    }
}
