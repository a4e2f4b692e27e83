//! Each recorded operator: its values, its inferred shapes, its gradients.

use burn::tensor::{Device, Tensor};
use potstill_core::graph::{Graph, infer};
use potstill_core::network::Network;
use potstill_core::ops::Mode;
use potstill_core::value::{Kind, Value};

use crate::case::{Case, cases, declared, reason, walk, weights};
use crate::record::{Record, compare, kind};

/// Fewer cases than this, and something was lost.
const FEWEST: usize = 850;

/// Cases that are refused, each with a part of the message: forms that image classifiers do not use, and broken files.
const REFUSED: &[(&str, &str)] = &[];

/// Whether a case is among [`REFUSED`].
pub fn is_refused(case: &Case) -> bool {
    REFUSED.iter().any(|(name, _)| *name == case.name)
}

/// Runs a graph on one record and compares each recorded output.
pub fn check_values(graph: &Graph, record: &Record) -> Result<(), String> {
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

/// Runs on autodiff and goes back from the sum of all float outputs: every gradient that arrives must be finite.
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
    // Each leaf takes part, so that there is something to go back to when an operator has no gradient.
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

/// Cases whose gradient is not finite by the rules of calculus: their records hold the points where it is not.
const NOT_DIFFERENTIABLE: &[&str] = &[];

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
