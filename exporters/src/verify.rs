//! A file run by tract and compared with the network.

use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::Value;

use burn::tensor::{Device, TensorData};

use crate::ExportError;
use crate::runtime::{Runtime, pictures};

/// Largest difference over largest value up to which file and network agree.
pub const TOLERANCE: f64 = 1e-4;

/// Runs encoded bytes in tract on `batch` drawn pictures and compares with a graph that should
/// compute the same. Returns the difference found: the largest over all outputs, relative to each
/// output's largest value.
///
/// # Errors
/// A file that tract refuses, or that computes something else: a difference above `tolerance`.
pub fn verify(bytes: &[u8], graph: &Graph, batch: usize, tolerance: f64) -> Result<f64, ExportError> {
    let mut worst = 0.0_f64;
    for (output, difference) in differences(bytes, graph, batch)? {
        if difference.is_nan() || difference > tolerance {
            return Err(ExportError::Differs {
                output,
                difference,
                tolerance,
            });
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// As [`verify`], for a network that is not trained yet: numbers that are none tell nothing of the
/// file, since fresh weights may make them.
///
/// # Errors
/// As [`verify`].
pub(crate) fn rehearse(bytes: &[u8], graph: &Graph, batch: usize, tolerance: f64) -> Result<(), ExportError> {
    let differences = differences(bytes, graph, batch)?;
    match differences
        .into_iter()
        .find(|(_, difference)| *difference > tolerance)
    {
        None => Ok(()),
        Some((output, difference)) => Err(ExportError::Differs {
            output,
            difference,
            tolerance,
        }),
    }
}

/// The difference between file and graph for each output, by name; of integers, only their number
/// is compared.
fn differences(bytes: &[u8], graph: &Graph, batch: usize) -> Result<Vec<(String, f64)>, ExportError> {
    let network = Network::new(graph.clone(), &Device::flex())?;
    let runtime = Runtime::of(bytes, graph, batch)?;
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    let mut feeds = Vec::with_capacity(graph.inputs.len());
    for (input, dims) in graph.inputs.iter().zip(runtime.shapes()) {
        let values = pictures(dims.iter().product());
        let data = TensorData::new(values.clone(), dims.clone());
        inputs.push((input.name.clone(), Value::from_data(data, &Device::flex())));
        feeds.push(values);
    }
    let ours = network.run(inputs, &[], Mode::Inference)?;
    let theirs = runtime.run(&feeds)?;
    let pairs = theirs.iter().zip(ours.iter());
    Ok(pairs
        .map(|(theirs, (name, ours))| {
            let difference = match ours.to_floats() {
                Some(ours) => relative_difference(&ours, theirs),
                // The class of two that are all but equal may be either.
                None if ours.len() == theirs.len() => 0.0,
                None => f64::INFINITY,
            };
            (name.to_owned(), difference)
        })
        .collect())
}

/// Largest difference over largest value; infinite where there are more or fewer of them.
pub(crate) fn relative_difference(ours: &[f32], theirs: &[f32]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let largest = ours
        .iter()
        .fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
    let difference = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(
            0.0,
            |most: f64, x| {
                if x.is_nan() { f64::NAN } else { most.max(x) }
            },
        );
    difference / largest.max(f64::from(f32::MIN_POSITIVE))
}
