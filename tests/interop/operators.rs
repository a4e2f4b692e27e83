//! Each recorded operator: its values, its inferred shapes, its gradients.

use burn::tensor::{Device, Tensor};
use potstill_core::graph::{Dim, Graph, Role, StoredTensor, infer};
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::{Kind, Value};

use crate::case::{Case, cases, declared, reason, walk, weights};
use crate::record::{Record, compare, kind};

/// Fewer cases than this, and something was lost.
const FEWEST: usize = 1000;

/// Cases that are refused, each with a part of the message: forms that image classifiers do not
/// use, and broken files.
const REFUSED: &[(&str, &str)] = &[
    // Shapes and bounds that are fed instead of stored:
    // `stored_shapes_and_bounds_compute_what_fed_ones_would` runs these cases.
    ("constant_of_shape_bool", FED),
    ("constant_of_shape_default", FED),
    ("constant_of_shape_float", FED),
    ("constant_of_shape_int64", FED),
    ("constant_of_shape_scalar", FED),
    ("range_float", FED),
    ("range_float_down", FED),
    ("range_int32", FED),
    ("range_int64", FED),
    ("range_int64_down", FED),
    ("range_int64_empty", FED),
    ("reshape_shape_is_input", FED),
    ("slice_bounds_are_inputs", FED),
    // No graph of operators.
    (
        "if_by_batch",
        "a condition that follows from the data or the batch is not supported",
    ),
    (
        "if_by_data",
        "a condition that follows from the data or the batch is not supported",
    ),
    // The number of places is known of constants alone.
    ("non_zero_of_data", FED),
    // Of no image classifier.
    ("attention_softcap", "`softcap = 2` is not supported"),
    ("grid_sample_cubic", "mode `cubic` is not supported"),
    ("pad_wrap_opset19", "mode `wrap` is not supported"),
    // For training alone.
    // Broken files.
    ("external_missing", "nowhere.bin"),
    ("truncated", "not an ONNX model"),
    (
        "unsupported_two_kinds",
        "unsupported operators: example.vision::NonMaxSuppressionLite (2×), example.vision::GridWarp (1×)",
    ),
];

/// What is said of shapes that no constant states.
const FED: &str = "depends on the data, expected a constant";

/// Whether a case is among [`REFUSED`].
pub fn is_refused(case: &Case) -> bool {
    REFUSED.iter().any(|(name, _)| *name == case.name)
}

/// Runs a graph on one record and compares each recorded output.
pub fn check_values(graph: &Graph, record: &Record) -> Result<(), String> {
    check_complete(graph, record)?;
    let device = Device::flex();
    let network = Network::new(graph.clone(), &device).map_err(|error| reason(&error))?;
    let outputs = network
        .run(record.inputs(graph, &device), &[], Mode::Inference)
        .map_err(|error| reason(&error))?;
    for (name, expected) in record.expected() {
        let got = outputs.get(name).map_err(|error| reason(&error))?;
        compare(got, expected).map_err(|difference| format!("output `{name}` {difference}"))?;
    }
    Ok(())
}

/// Checks that a record expects something of each output.
fn check_complete(graph: &Graph, record: &Record) -> Result<(), String> {
    if !graph.outputs.is_empty() && graph.outputs.len() == record.expected().count() {
        return Ok(());
    }
    Err("has outputs that are not recorded".to_owned())
}

/// The graph with a record's inputs stored in it as constants.
fn stored(graph: &Graph, record: &Record) -> Graph {
    let mut graph = graph.clone();
    for input in std::mem::take(&mut graph.inputs) {
        let data = record.array(&input.name).clone();
        let role = Role::Constant;
        graph.tensors.insert(input.name, StoredTensor { role, data });
    }
    graph
}

/// Infers kinds and shapes for one record's inputs and compares each recorded output.
pub fn check_facts(graph: &Graph, record: &Record) -> Result<(), String> {
    let facts = infer(&declared(graph, record), 1).map_err(|error| reason(&error))?;
    for (name, expected) in record.expected() {
        let fact = &facts[name];
        let shape = expected.shape().to_vec();
        if fact.kind != kind(expected.dtype()) || fact.dims != shape {
            return Err(format!(
                "output `{name}` is inferred as {} {:?}, expected {:?} {shape:?}",
                fact.kind,
                fact.dims,
                expected.dtype()
            ));
        }
    }
    Ok(())
}

/// Runs on autodiff and goes back from the sum of all float outputs: every gradient that arrives
/// must be finite.
pub fn check_gradients(graph: &Graph, record: &Record, mode: Mode) -> Result<(), String> {
    let device = Device::flex().autodiff();
    let network = Network::new(graph.clone(), &device).map_err(|error| reason(&error))?;
    let inputs: Vec<(String, Value)> = record
        .inputs(graph, &device)
        .into_iter()
        .map(|(name, value)| (name, tracked(value)))
        .collect();
    let outputs = network
        .run(inputs.clone(), &[], mode)
        .map_err(|error| reason(&error))?;
    let mut leaves: Vec<(String, Tensor<1>)> = inputs
        .into_iter()
        .filter(|(_, value)| value.kind() == Kind::Float && !value.is_empty())
        .map(|(name, value)| (name, value.float()))
        .collect();
    leaves.extend(weights(graph).filter_map(|name| {
        let parameter = network.weight(name)?;
        Some((name.to_owned(), parameter.value(false).float()))
    }));
    let sums = outputs
        .iter()
        .filter(|(_, value)| value.kind() == Kind::Float && !value.is_empty())
        .map(|(_, value)| value.clone().to_device(&device).float::<1>().sum());
    // Each leaf takes part, so that there is something to go back to when an operator has no
    // gradient.
    let roots = leaves.iter().map(|(_, leaf)| (leaf.clone() * 0.0).sum());
    let Some(loss) = sums.chain(roots).reduce(|sum, next| sum + next) else {
        return Ok(());
    };
    if leaves.is_empty() {
        return Ok(());
    }
    let gradients = loss.backward();
    for (name, leaf) in leaves {
        let gradient = leaf
            .grad(&gradients)
            .map(Value::from)
            .and_then(|gradient| gradient.to_floats())
            .ok_or_else(|| format!("`{name}` has no gradient"))?;
        if let Some(wrong) = gradient.iter().find(|x| !x.is_finite()) {
            return Err(format!("`{name}` has the gradient {wrong}"));
        }
    }
    Ok(())
}

/// A float as a leaf of the autodiff graph.
fn tracked(value: Value) -> Value {
    if value.kind() != Kind::Float {
        return value;
    }
    let scalar = value.is_scalar();
    let leaf = Value::from(value.float::<1>().require_grad());
    if scalar { leaf.into_scalar() } else { leaf }
}

/// The cases that run.
pub fn running(cases: &[Case]) -> impl Iterator<Item = &Case> {
    cases.iter().filter(|case| !is_refused(case))
}

/// A check of graph and record, on every record of a case.
pub fn on_records(case: &Case, check: impl Fn(&Graph, &Record) -> Result<(), String>) -> Result<(), String> {
    let graph = case.graph().map_err(|error| reason(&error))?;
    case.records().try_for_each(|record| check(&graph, &record))
}

#[test]
fn every_case_computes_what_onnx_runtime_computed() {
    let cases = cases("operators");
    walk(running(&cases), |case| on_records(case, check_values));
    println!("{} cases walked, {} of them refused", cases.len(), REFUSED.len());
    assert!(cases.len() >= FEWEST, "only {} cases", cases.len());
}

#[test]
fn inferred_shapes_are_the_computed_ones() {
    walk(running(&cases("operators")), |case| on_records(case, check_facts));
}

#[test]
fn stored_shapes_and_bounds_compute_what_fed_ones_would() {
    let cases = cases("operators");
    let fed = |case: &&Case| REFUSED.contains(&(case.name.as_str(), FED));
    walk(running(&cases).chain(cases.iter().filter(fed)), |case| {
        on_records(case, |graph, record| {
            let stored = stored(graph, record);
            check_facts(&stored, record)?;
            check_values(&stored, record)
        })
    });
}

#[test]
fn a_picture_may_have_any_height_and_width_where_the_file_leaves_them_open() {
    let cases = cases("operators");
    let pictures = running(&cases).filter(|case| case.name.starts_with("conv_2d_"));
    walk(pictures, |case| {
        on_records(case, |graph, record| {
            let mut graph = graph.clone();
            for axis in graph.inputs[0].dims.iter_mut().flat_map(|dims| &mut dims[2..]) {
                *axis = Dim::Unknown;
            }
            check_values(&graph, record)
        })
    });
}

#[test]
fn what_is_not_supported_is_refused_with_its_reason() {
    let cases = cases("operators");
    for (name, _) in REFUSED {
        assert!(cases.iter().any(|case| case.name == *name), "no case `{name}`");
    }
    walk(cases.iter().filter(|case| is_refused(case)), |case| {
        let (_, expected) = REFUSED.iter().find(|(name, _)| *name == case.name).unwrap();
        let refusal = match case.graph() {
            Err(error) => reason(&error),
            Ok(graph) => match Network::new(graph, &Device::flex()) {
                Err(error) => reason(&error),
                Ok(_) => return Err("is not refused".to_owned()),
            },
        };
        if refusal.contains(expected) {
            return Ok(());
        }
        Err(format!("is refused with `{refusal}`, expected `{expected}`"))
    });
}

/// Cases whose gradient is not finite by the rules of calculus: their records hold the points where
/// it is not.
const NOT_DIFFERENTIABLE: &[&str] = &[
    "div_by_zero",
    "log_of_zero",
    "pow_negative_base",
    "sqrt_of_negative",
];

#[test]
fn gradients_of_float_inputs_are_finite() {
    let cases = cases("operators");
    let smooth = running(&cases).filter(|case| !NOT_DIFFERENTIABLE.contains(&case.name.as_str()));
    walk(smooth, |case| {
        on_records(case, |graph, record| {
            check_gradients(graph, record, Mode::Inference)
        })
    });
}
