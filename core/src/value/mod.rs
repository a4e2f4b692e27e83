//! A tensor as a graph sees it: rank and kind are known when it runs, not in the type.
//!
//! Burn writes a tensor's rank and kind into its type; an ONNX graph learns both from its file. A
//! [`Value`] therefore holds Burn's rank-erased dispatch tensor and offers what operators need for
//! every kind and rank at once. Where Burn's typed interface reads better, [`Value::float`] and its
//! siblings give the rank back.
//!
//! **Where values live.** Floats live on the network's device. Integers and booleans that a graph
//! computes (shapes, indices, axes) live on the CPU, so that reading them never waits for a GPU; an
//! operator that mixes both moves them.

use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::tensor::{Bool, BoolStore, DType, Device, Int, Shape, Tensor, TensorData};

/// What a value's elements are. Every float type of a file runs as `f32`, every integer type as
/// `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32-bit floats.
    Float,
    /// 64-bit integers.
    Int,
    /// Booleans.
    Bool,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Float => "float",
            Kind::Int => "int",
            Kind::Bool => "bool",
        })
    }
}

/// The type in which booleans are stored.
pub(crate) const BOOL: DType = DType::Bool(BoolStore::Native);

/// A tensor of any rank and kind.
#[derive(Clone, Debug)]
pub struct Value {
    tensor: DispatchTensor,
    kind: Kind,
    /// Burn has no rank 0: a scalar is held as `[1]` with this mark.
    scalar: bool,
}

/// Runs one expression per kind, with the functions of that kind's operations.
macro_rules! by_kind {
    ($value:expr, $float:ident, $int:ident, $bool:ident, |$tensor:ident| ($($argument:expr),*)) => {{
        let Value { tensor: $tensor, kind, .. } = $value;
        let tensor = match kind {
            Kind::Float => Dispatch::$float($($argument),*),
            Kind::Int => Dispatch::$int($($argument),*),
            Kind::Bool => Dispatch::$bool($($argument),*),
        };
        Value { tensor, kind, scalar: false }
    }};
}

// After the macro, which it uses.
mod layout;

impl Value {
    /// Wraps a dispatch tensor of rank 1 or more; its kind follows from its element type.
    pub fn new(tensor: DispatchTensor) -> Self {
        let dtype = tensor.dtype();
        let kind = if dtype.is_bool() {
            Kind::Bool
        } else if dtype.is_float() {
            Kind::Float
        } else {
            Kind::Int
        };
        Self {
            tensor,
            kind,
            scalar: false,
        }
    }

    /// Host data on a device; floats become `f32`, integers `i64`.
    pub fn from_data(data: TensorData, device: &Device) -> Self {
        let scalar = data.shape().rank() == 0;
        let data = if scalar {
            reshaped(data, Shape::new([1]))
        } else {
            data
        };
        let dtype = data.dtype();
        let device = device.as_dispatch();
        let (kind, tensor) = if dtype.is_bool() {
            (
                Kind::Bool,
                Dispatch::bool_from_data(data.convert_dtype(BOOL), device),
            )
        } else if dtype.is_float() {
            (
                Kind::Float,
                Dispatch::float_from_data(data.convert_dtype(DType::F32), device),
            )
        } else {
            (
                Kind::Int,
                Dispatch::int_from_data(data.convert_dtype(DType::I64), device),
            )
        };
        Self { tensor, kind, scalar }
    }

    /// Integers on the CPU, of the given shape (`[]` is a scalar).
    pub fn ints(values: Vec<i64>, dims: &[usize]) -> Self {
        Self::from_data(
            TensorData::new(values, Shape::from(dims.to_vec())),
            &Device::flex(),
        )
    }

    /// The kind of the elements.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The extent of each axis; empty for a scalar.
    pub fn dims(&self) -> Vec<usize> {
        if self.scalar {
            Vec::new()
        } else {
            self.tensor.shape().to_vec()
        }
    }

    /// The number of axes; 0 for a scalar.
    pub fn rank(&self) -> usize {
        if self.scalar {
            0
        } else {
            self.tensor.shape().num_dims()
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.tensor.shape().num_elements()
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a tensor of rank 0.
    pub fn is_scalar(&self) -> bool {
        self.scalar
    }

    /// Marks a `[1]` tensor as a scalar.
    pub fn into_scalar(mut self) -> Self {
        debug_assert_eq!(self.len(), 1);
        if self.tensor.shape().num_dims() != 1 {
            self = self.reshape(&[1]);
        }
        self.scalar = true;
        self
    }

    /// Where the value lives.
    pub fn device(&self) -> Device {
        Device::new(self.tensor.device())
    }

    /// The rank-erased tensor as it is held.
    pub(crate) fn dispatch(&self) -> &DispatchTensor {
        &self.tensor
    }

    /// The rank-erased tensor; a scalar has shape `[1]`.
    pub(crate) fn into_dispatch(self) -> DispatchTensor {
        self.tensor
    }

    /// As a typed tensor; the caller has checked rank and kind.
    pub fn float<const D: usize>(self) -> Tensor<D> {
        Tensor::from_dispatch(self.tensor)
    }

    /// As a typed integer tensor; the caller has checked rank and kind.
    pub fn int<const D: usize>(self) -> Tensor<D, Int> {
        Tensor::from_dispatch(self.tensor)
    }

    /// As a typed boolean tensor; the caller has checked rank and kind.
    pub fn bool<const D: usize>(self) -> Tensor<D, Bool> {
        Tensor::from_dispatch(self.tensor)
    }

    /// The elements on the host, with the scalar's shape `[]` restored.
    pub fn into_data(self) -> TensorData {
        let scalar = self.scalar;
        let data = match self.kind {
            Kind::Float => self.float::<1>().into_data(),
            Kind::Int => self.int::<1>().into_data(),
            Kind::Bool => self.bool::<1>().into_data(),
        };
        if scalar {
            reshaped(data, Shape::from(Vec::<usize>::new()))
        } else {
            data
        }
    }

    /// The elements of an integer or boolean value; `None` for floats.
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        match self.kind {
            Kind::Float => None,
            Kind::Int | Kind::Bool => {
                let data = self.clone().into_data().convert_dtype(DType::I64);
                Some(data.iter::<i64>().collect())
            }
        }
    }

    /// The elements of a float value; `None` for others.
    pub fn to_floats(&self) -> Option<Vec<f32>> {
        match self.kind {
            Kind::Float => {
                let data = self.clone().into_data().convert_dtype(DType::F32);
                Some(data.iter::<f32>().collect())
            }
            Kind::Int | Kind::Bool => None,
        }
    }

    /// A value without elements: an extent of `dims` is 0.
    pub(crate) fn empty(kind: Kind, dims: &[usize], device: &Device) -> Self {
        let shape = Shape::from(dims.to_vec());
        let data = match kind {
            Kind::Float => TensorData::new(Vec::<f32>::new(), shape),
            Kind::Int => TensorData::new(Vec::<i64>::new(), shape),
            Kind::Bool => TensorData::new(Vec::<bool>::new(), shape),
        };
        Self::from_data(data, device)
    }

    /// Applies an elementwise function of floats. Elementwise functions do not look at the rank, so
    /// the type says 1 whatever it is.
    pub(crate) fn elementwise(self, function: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        let scalar = self.scalar;
        Self::from(function(self.float())).scalar_if(scalar)
    }

    /// Applies an elementwise function of integers; see [`elementwise`](Self::elementwise).
    pub(crate) fn elementwise_int(self, function: impl FnOnce(Tensor<1, Int>) -> Tensor<1, Int>) -> Self {
        let scalar = self.scalar;
        Self::from(function(self.int())).scalar_if(scalar)
    }

    /// Marks a `[1]` tensor as a scalar if `scalar` says so.
    pub(crate) fn scalar_if(self, scalar: bool) -> Self {
        if scalar { self.into_scalar() } else { self }
    }

    /// The same elements on another device; a value stays in the autodiff graph it is part of.
    pub fn to_device(self, device: &Device) -> Self {
        let scalar = self.scalar;
        let device = device.clone().with_autodiff_context_from(&self.device());
        let device = device.as_dispatch();
        let value = by_kind!(self, float_to_device, int_to_device, bool_to_device, |t| (
            t, device
        ));
        Self { scalar, ..value }
    }

    /// Cuts the value from the autodiff graph.
    pub fn detach(self) -> Self {
        match self.kind {
            Kind::Float => Self {
                tensor: Dispatch::float_detach(self.tensor),
                ..self
            },
            Kind::Int | Kind::Bool => self,
        }
    }
}

/// The same bytes under another shape of as many elements.
pub(crate) fn reshaped(data: TensorData, shape: Shape) -> TensorData {
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape, dtype)
}

impl<const D: usize> From<Tensor<D>> for Value {
    fn from(tensor: Tensor<D>) -> Self {
        Self::new(tensor.into_dispatch())
    }
}

impl<const D: usize> From<Tensor<D, Int>> for Value {
    fn from(tensor: Tensor<D, Int>) -> Self {
        Self::new(tensor.into_dispatch())
    }
}

impl<const D: usize> From<Tensor<D, Bool>> for Value {
    fn from(tensor: Tensor<D, Bool>) -> Self {
        Self::new(tensor.into_dispatch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_keeps_its_rank_through_host_and_device() {
        let value = Value::ints(vec![7], &[]);
        assert_eq!(value.rank(), 0);
        assert_eq!(value.clone().into_data().shape().rank(), 0);
        assert_eq!(value.to_ints(), Some(vec![7]));
    }

    #[test]
    fn one_code_path_serves_every_kind() {
        let ints = Value::ints((0..6).collect(), &[2, 3]);
        for kind in [Kind::Float, Kind::Int, Kind::Bool] {
            let value = ints
                .clone()
                .cast(kind)
                .permute(&[1, 0])
                .narrow(0, 1, 3)
                .reshape(&[4]);
            assert_eq!(value.dims(), [4]);
            assert_eq!(value.kind(), kind);
        }
    }

    #[test]
    fn expanding_aligns_axes_at_the_end() {
        let value = Value::ints(vec![1, 2], &[2, 1]).expand(&[2, 2, 3]);
        assert_eq!(value.to_ints(), Some(vec![1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]));
    }

    #[test]
    fn floats_become_integers_towards_zero() {
        let data = TensorData::new(vec![-1.7f32, 1.7], [2]);
        let value = Value::from_data(data, &Device::flex()).cast(Kind::Int);
        assert_eq!(value.to_ints(), Some(vec![-1, 1]));
    }
}
