//! The records beside the models: what to feed and what to expect, as `fixture.py` describes them.

use std::io::Read;
use std::path::Path;

use burn::tensor::{BoolStore, Bytes, DType, Device, TensorData};
use indexmap::IndexMap;
use potstill_core::graph::Graph;
use potstill_core::npz::{NpzReader, Order};
use potstill_core::value::{Kind, Value};

/// The arrays of one `.npz` by name, with their element types.
pub struct Record(IndexMap<String, TensorData>);

impl Record {
    /// Reads a file that this repository holds.
    pub fn open(path: &Path) -> Self {
        let mut archive = NpzReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let arrays = archive.names().into_iter().map(|name| {
            let array = archive.array(&name).unwrap().unwrap();
            let dims: Vec<usize> = array.shape().iter().map(|extent| *extent as usize).collect();
            let dtype = match array.dtype().descr().as_str() {
                "'|b1'" => DType::Bool(BoolStore::Native),
                "'<f2'" => DType::F16,
                "'<f4'" => DType::F32,
                "'<f8'" => DType::F64,
                "'<i4'" => DType::I32,
                "'<i8'" => DType::I64,
                "'<u8'" => DType::U64,
                other => panic!("{}: `{name}` has the type {other}", path.display()),
            };
            let order = array.order();
            let mut bytes = Vec::new();
            array.into_inner().read_to_end(&mut bytes).unwrap();
            let data = match order {
                Order::C => bytes,
                Order::Fortran => last_axis_fastest(&bytes, &dims, dtype.size()),
            };
            (
                name,
                TensorData::from_bytes(Bytes::from_bytes_vec(data), dims, dtype),
            )
        });
        Self(arrays.collect())
    }

    /// An array by name.
    pub fn array(&self, name: &str) -> &TensorData {
        &self.0[name]
    }

    /// What a graph asks for, on a device.
    pub fn inputs(&self, graph: &Graph, device: &Device) -> Vec<(String, Value)> {
        let value = |name: &String| {
            let array = self
                .0
                .get(name)
                .unwrap_or_else(|| panic!("no array for input `{name}`"));
            // Integers and booleans live on the host.
            let place = if array.dtype().is_float() {
                device
            } else {
                &Device::flex()
            };
            (name.clone(), Value::from_data(array.clone(), place))
        };
        graph.inputs.iter().map(|input| value(&input.name)).collect()
    }

    /// What a graph's outputs should be, by name.
    pub fn expected(&self) -> impl Iterator<Item = (&str, &TensorData)> {
        self.0
            .iter()
            .filter_map(|(name, data)| Some((name.strip_prefix("out:")?, data)))
    }
}

/// Elements stored with the first axis fastest, in the order in which tensors hold them.
fn last_axis_fastest(bytes: &[u8], dims: &[usize], size: usize) -> Vec<u8> {
    let count: usize = dims.iter().product();
    let mut ordered = Vec::with_capacity(bytes.len());
    for index in 0..count {
        let (mut rest, mut place) = (index, 0);
        for (axis, extent) in dims.iter().enumerate().rev() {
            let stride: usize = dims[..axis].iter().product();
            place += rest % extent * stride;
            rest /= extent;
        }
        ordered.extend(&bytes[place * size..(place + 1) * size]);
    }
    ordered
}

/// As what elements of this type run.
pub fn kind(dtype: DType) -> Kind {
    if dtype.is_bool() {
        Kind::Bool
    } else if dtype.is_float() {
        Kind::Float
    } else {
        Kind::Int
    }
}

/// Largest difference of floats, over the largest value.
const TOLERANCE: f64 = 1e-4;
/// The same where the judge computed in half precision, which rounds at 4.9e-4; Potstill computes
/// in single precision.
const HALF_TOLERANCE: f64 = 2e-3;

/// Whether a value is what was recorded: kind, shape, integers and booleans exactly, floats within
/// [`TOLERANCE`], the rest as they are (NaN, ±∞).
pub fn compare(got: &Value, expected: &TensorData) -> Result<(), String> {
    if got.kind() != kind(expected.dtype()) {
        return Err(format!(
            "holds {} elements, expected {:?}",
            got.kind(),
            expected.dtype()
        ));
    }
    if got.dims() != expected.shape().to_vec() {
        return Err(format!(
            "has shape {:?}, expected {:?}",
            got.dims(),
            expected.shape()
        ));
    }
    let Some(floats) = got.to_floats() else {
        let integers: Vec<i64> = expected.clone().convert_dtype(DType::I64).iter().collect();
        return match got.to_ints() {
            Some(got) if got == integers => Ok(()),
            got => Err(format!("is {got:?}, expected {integers:?}")),
        };
    };
    let tolerance = if expected.dtype() == DType::F16 {
        HALF_TOLERANCE
    } else {
        TOLERANCE
    };
    let expected: Vec<f64> = expected.clone().convert_dtype(DType::F64).iter().collect();
    close(&floats, &expected, tolerance)
}

/// Whether floats agree: to `tolerance` of the largest finite one, NaN and infinities exactly.
pub fn close(got: &[f32], expected: &[f64], tolerance: f64) -> Result<(), String> {
    let largest = expected
        .iter()
        .filter(|x| x.is_finite())
        .fold(0.0_f64, |largest, x| largest.max(x.abs()));
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let got = f64::from(*got);
        let same = got == *expected || got.is_nan() && expected.is_nan();
        let difference = (got - expected).abs();
        if !same && (difference.is_nan() || difference > tolerance * largest) {
            return Err(format!(
                "is {got} at {index}, expected {expected} (largest {largest})"
            ));
        }
    }
    Ok(())
}
