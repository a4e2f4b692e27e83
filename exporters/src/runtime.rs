//! A file in tract, an inference runtime that shares no code with this project. It computes on one
//! thread.
//!
//! tract panics at some of what it does not expect; that is an error here, as what it refuses is.
//! Shapes that a file states for values in between are not shown to it: it would hold a symbol
//! there (`batch`, in every file of PyTorch's exporter) against the batch size that it is asked
//! for.

use std::sync::Arc;

use potstill_core::device::caught;
use potstill_core::graph::Graph;
use potstill_core::op::{ElementType, ValueInfo};
use tract_onnx::prelude::*;

use crate::ExportError;

/// A model that tract has optimised for one batch size.
pub struct Runtime {
    plan: Arc<TypedRunnableModel>,
    shapes: Vec<Vec<usize>>,
    /// Of each input.
    types: Vec<DatumType>,
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
        caught(|| Self::read(bytes, inputs, batch)).map_err(panicked)?
    }

    fn read(bytes: &[u8], inputs: &[ValueInfo], batch: usize) -> Result<Self, ExportError> {
        let mut model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .model_for_read(&mut std::io::Cursor::new(bytes))
            .map_err(refusal)?;
        let mut shapes = Vec::with_capacity(inputs.len());
        let mut types = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let dims = input.dims_at(batch).unwrap_or_default();
            let datum_type = datum_type(input.element);
            let fact = InferenceFact::dt_shape(datum_type, &dims);
            types.push(datum_type);
            model = model.with_input_fact(index, fact).map_err(refusal)?;
            shapes.push(dims);
        }
        let plan = model
            .into_optimized()
            .and_then(|model| model.into_runnable())
            .map_err(refusal)?;
        Ok(Self { plan, shapes, types })
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

    /// Runs on the elements of each input, which are cast to its type, and returns those of each
    /// output.
    ///
    /// # Errors
    /// Inputs that do not fit, outputs that hold no numbers, what tract says.
    pub fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ExportError> {
        caught(|| self.feed(inputs)).map_err(panicked)?
    }

    fn feed(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ExportError> {
        let mut feeds: TVec<TValue> = tvec!();
        for ((values, dims), datum_type) in inputs.iter().zip(&self.shapes).zip(&self.types) {
            let floats = Tensor::from_shape(dims, values).map_err(refusal)?;
            let typed = floats.cast_to_dt(*datum_type).map_err(refusal)?;
            feeds.push(typed.into_owned().into());
        }
        let floats = |value: &TValue| -> Result<Vec<f32>, ExportError> {
            let floats = value.cast_to::<f32>().map_err(refusal)?;
            let plain = floats.try_as_plain_ram().map_err(refusal)?;
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

/// tract's name of an element type.
fn datum_type(element: Option<ElementType>) -> DatumType {
    match element {
        None | Some(ElementType::Float) => DatumType::F32,
        Some(ElementType::Float16 | ElementType::Bfloat16) => DatumType::F16,
        Some(ElementType::Double) => DatumType::F64,
        Some(ElementType::Bool) => DatumType::Bool,
        Some(ElementType::Int8) => DatumType::I8,
        Some(ElementType::Int16) => DatumType::I16,
        Some(ElementType::Int32) => DatumType::I32,
        Some(ElementType::Int64) => DatumType::I64,
        Some(ElementType::Uint8) => DatumType::U8,
        Some(ElementType::Uint16) => DatumType::U16,
        Some(ElementType::Uint32) => DatumType::U32,
        Some(ElementType::Uint64) => DatumType::U64,
    }
}

fn refusal(error: impl std::fmt::Display) -> ExportError {
    ExportError::Runtime {
        reason: format!("{error:#}"),
    }
}

fn panicked(message: String) -> ExportError {
    ExportError::Runtime {
        reason: format!("it panics: {message}"),
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

#[cfg(test)]
mod tests {
    use onnx_protobuf::{Message, ModelProto};
    use potstill_core::builder::{Conv, GraphBuilder};
    use potstill_core::graph::Graph;

    use super::*;
    use crate::encode;

    fn convolution() -> Graph {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[2, 4, 4]);
        let y = b.conv("conv", &x, Conv::same(3, 3)).unwrap();
        b.output("y", &y).unwrap();
        b.finish().unwrap()
    }

    /// A bias that is left out by an empty name, as files may have it.
    #[test]
    fn what_tract_panics_at_is_an_error() {
        let graph = convolution();
        let bytes = encode(&graph).unwrap();
        Runtime::of(&bytes, &graph, 1).unwrap();
        let mut model = ModelProto::parse_from_bytes(&bytes).unwrap();
        model.graph.as_mut().unwrap().node[0].input.push(String::new());
        let bytes = model.write_to_bytes().unwrap();
        let error = Runtime::of(&bytes, &graph, 1).unwrap_err().to_string();
        assert!(error.contains("tract: it panics"), "{error}");
    }
}
