//! A file run by tract, an inference runtime that shares no code with this project, and compared with the network.

use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::ops::Mode;
use potstill_core::value::Value;

use burn::tensor::{Device, TensorData};
use tract_onnx::prelude::*;

use crate::ExportError;

/// Largest difference over largest value up to which file and network agree.
pub const TOLERANCE: f64 = 1e-4;

/// Runs encoded bytes in tract on `batch` drawn pictures and compares with the graph that they encode. Returns the difference found: the
/// largest over all outputs, relative to each output's largest value.
///
/// # Errors
/// A file that tract refuses, or that computes something else.
pub fn verify(bytes: &[u8], graph: &Graph, batch: usize) -> Result<f64, ExportError> {
    let network = Network::new(graph.clone(), &Device::flex())?;
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    let mut feeds: TVec<TValue> = tvec!();
    for input in &graph.inputs {
        let dims = input.dims_at(batch).unwrap_or_default();
        let values = pictures(dims.iter().product());
        feeds.push(Tensor::from_shape(&dims, &values).map_err(runtime)?.into());
        inputs.push((
            input.name.clone(),
            Value::from_data(TensorData::new(values, dims), &Device::flex()),
        ));
    }
    let ours = network.run(inputs, &[], Mode::Inference)?;
    let mut worst = 0.0_f64;
    for (theirs, (name, ours)) in run(bytes, graph, batch, feeds)?.iter().zip(ours.iter()) {
        let theirs: Vec<f32> = theirs
            .try_as_plain_ram()
            .map_err(runtime)?
            .as_slice::<f32>()
            .map_err(runtime)?
            .to_vec();
        let difference = relative_difference(&ours.to_floats().unwrap_or_default(), &theirs);
        if difference.is_nan() || difference > TOLERANCE {
            return Err(ExportError::Differs {
                output: name.to_owned(),
                difference,
                tolerance: TOLERANCE,
            });
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

fn run(bytes: &[u8], graph: &Graph, batch: usize, feeds: TVec<TValue>) -> Result<TVec<TValue>, ExportError> {
    let mut model = tract_onnx::onnx()
        .model_for_read(&mut std::io::Cursor::new(bytes))
        .map_err(runtime)?;
    for (index, input) in graph.inputs.iter().enumerate() {
        let dims = input.dims_at(batch).unwrap_or_default();
        let fact = InferenceFact::dt_shape(f32::datum_type(), dims);
        model = model.with_input_fact(index, fact).map_err(runtime)?;
    }
    let plan = model
        .into_optimized()
        .and_then(|model| model.into_runnable())
        .map_err(runtime)?;
    plan.run(feeds).map_err(runtime)
}

fn runtime(error: impl std::fmt::Display) -> ExportError {
    ExportError::Runtime {
        reason: format!("{error:#}"),
    }
}

/// Reproducible numbers that look like normalised pictures: uniform on ±2, from a linear congruential generator (Knuth's MMIX).
fn pictures(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

fn relative_difference(ours: &[f32], theirs: &[f32]) -> f64 {
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
