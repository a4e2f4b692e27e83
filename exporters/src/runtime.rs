//! A file in tract, an inference runtime that shares no code with this project. It computes on one
//! thread.

use std::sync::Arc;

use potstill_core::graph::Graph;
use potstill_core::op::ValueInfo;
use tract_onnx::prelude::*;

use crate::ExportError;

/// A model that tract has optimised for one batch size.
pub struct Runtime {
    plan: Arc<TypedRunnableModel>,
    shapes: Vec<Vec<usize>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("shapes", &self.shapes).finish()
    }
}

impl Runtime {
    /// Reads encoded bytes; `inputs` are the graph's, whose open axes are set for this batch size.
    ///
    /// # Errors
    /// A model that tract refuses.
    pub fn new(bytes: &[u8], inputs: &[ValueInfo], batch: usize) -> Result<Self, ExportError> {
        let mut model = tract_onnx::onnx()
            .model_for_read(&mut std::io::Cursor::new(bytes))
            .map_err(refusal)?;
        let mut shapes = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let dims = input.dims_at(batch).unwrap_or_default();
            let fact = InferenceFact::dt_shape(f32::datum_type(), &dims);
            model = model.with_input_fact(index, fact).map_err(refusal)?;
            shapes.push(dims);
        }
        let plan = model
            .into_optimized()
            .and_then(|model| model.into_runnable())
            .map_err(refusal)?;
        Ok(Self { plan, shapes })
    }

    /// As [`new`](Self::new), for a graph's own inputs.
    ///
    /// # Errors
    /// A model that tract refuses.
    pub fn of(bytes: &[u8], graph: &Graph, batch: usize) -> Result<Self, ExportError> {
        Self::new(bytes, &graph.inputs, batch)
    }

    /// The extents of each input.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// Runs on the elements of each input, and returns those of each output.
    ///
    /// # Errors
    /// Inputs that do not fit, outputs that hold no floats, what tract says.
    pub fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ExportError> {
        let mut feeds: TVec<TValue> = tvec!();
        for (values, dims) in inputs.iter().zip(&self.shapes) {
            feeds.push(Tensor::from_shape(dims, values).map_err(refusal)?.into());
        }
        let floats = |value: &TValue| -> Result<Vec<f32>, ExportError> {
            let plain = value.try_as_plain_ram().map_err(refusal)?;
            Ok(plain.as_slice::<f32>().map_err(refusal)?.to_vec())
        };
        self.plan
            .run(feeds)
            .map_err(refusal)?
            .iter()
            .map(floats)
            .collect()
    }
}

fn refusal(error: impl std::fmt::Display) -> ExportError {
    ExportError::Runtime {
        reason: format!("{error:#}"),
    }
}

/// Reproducible numbers that look like normalised pictures: uniform on ±2, from a linear
/// congruential generator (Knuth's MMIX).
pub fn pictures(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}
