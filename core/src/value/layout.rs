//! What moves elements of a [`Value`] and computes nothing: other extents, other orders, parts,
//! other kinds.

use burn::backend::Dispatch;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::tensor::{FloatDType, Int, IntDType, Shape, Slice, Tensor};

use super::{Kind, Value};

impl Value {
    /// The same elements in another shape (`[]` makes a scalar); the caller has checked that the
    /// counts agree.
    pub fn reshape(self, dims: &[usize]) -> Self {
        let scalar = dims.is_empty();
        let shape = if scalar {
            Shape::new([1])
        } else {
            Shape::from(dims.to_vec())
        };
        let value = by_kind!(self, float_reshape, int_reshape, bool_reshape, |t| (t, shape));
        Self { scalar, ..value }
    }

    /// The axes in another order.
    pub(crate) fn permute(self, axes: &[usize]) -> Self {
        if self.scalar {
            return self;
        }
        by_kind!(self, float_permute, int_permute, bool_permute, |t| (t, axes))
    }

    /// The axes read backwards.
    pub fn flip(self, axes: &[usize]) -> Self {
        by_kind!(self, float_flip, int_flip, bool_flip, |t| (t, axes))
    }

    /// A box of the tensor, one [`Slice`] per axis.
    pub fn slice(self, slices: &[Slice]) -> Self {
        by_kind!(self, float_slice, int_slice, bool_slice, |t| (t, slices))
    }

    /// With another value in a box of the tensor.
    pub(crate) fn slice_assign(self, slices: &[Slice], part: Value) -> Self {
        let part = part.to_device(&self.device()).tensor;
        by_kind!(
            self,
            float_slice_assign,
            int_slice_assign,
            bool_slice_assign,
            |t| (t, slices, part)
        )
    }

    /// The tensor several times over along one axis; `times` is at least 1.
    pub(crate) fn repeat(self, axis: usize, times: usize) -> Self {
        by_kind!(self, float_repeat_dim, int_repeat_dim, bool_repeat_dim, |t| (
            t, axis, times
        ))
    }

    /// The part `start..end` of one axis.
    pub fn narrow(self, axis: usize, start: usize, end: usize) -> Self {
        let mut slices = vec![Slice::default(); self.rank()];
        slices[axis] = Slice::from(start..end);
        self.slice(&slices)
    }

    /// Broadcasts to `dims` (ONNX rule: axes are aligned at the end).
    pub(crate) fn expand(self, dims: &[usize]) -> Self {
        let own = self.dims();
        if own == dims {
            return self;
        }
        let mut aligned = vec![1; dims.len() - own.len()];
        aligned.extend(own);
        let value = self.reshape(&aligned);
        if dims.is_empty() {
            return value;
        }
        let shape = Shape::from(dims.to_vec());
        by_kind!(value, float_expand, int_expand, bool_expand, |t| (t, shape))
    }

    /// Entries of one axis, by index (rank-1 integers).
    pub fn select(self, axis: usize, indices: Value) -> Self {
        let indices = indices.to_device(&self.device()).tensor;
        by_kind!(self, float_select, int_select, bool_select, |t| (
            t, axis, indices
        ))
    }

    /// Entries along one axis, one index per element (`GatherElements`).
    pub fn gather(self, axis: usize, indices: Value) -> Self {
        let indices = indices.to_device(&self.device()).tensor;
        by_kind!(self, float_gather, int_gather, bool_gather, |t| (
            axis, t, indices
        ))
    }

    /// Joins values of one kind along an axis; the caller has checked that there is at least one,
    /// and the shapes.
    pub fn concat(values: Vec<Value>, axis: usize) -> Self {
        let kind = values[0].kind;
        let tensors = values.into_iter().map(|value| value.tensor).collect();
        let tensor = match kind {
            Kind::Float => Dispatch::float_cat(tensors, axis),
            Kind::Int => Dispatch::int_cat(tensors, axis),
            Kind::Bool => Dispatch::bool_cat(tensors, axis),
        };
        Self {
            tensor,
            kind,
            scalar: false,
        }
    }

    /// `self` where `mask` is false, `other` where it is true; all three of one shape.
    pub(crate) fn mask_where(self, mask: Value, other: Value) -> Self {
        let scalar = self.scalar;
        let device = self.device();
        let mask = mask.to_device(&device).tensor;
        let other = other.tensor;
        let value = match self.kind {
            Kind::Float => Dispatch::float_mask_where(self.tensor, mask, other),
            Kind::Int => Dispatch::int_mask_where(self.tensor, mask, other),
            Kind::Bool => Dispatch::bool_mask_where(self.tensor, mask, other),
        };
        Self {
            scalar,
            ..Self::new(value)
        }
    }

    /// Converts the elements: to a float as they are, to an integer towards zero, to a boolean by
    /// "not zero" (ONNX `Cast`).
    pub fn cast(self, to: Kind) -> Self {
        let Self { tensor, kind, scalar } = self;
        let tensor = match (kind, to) {
            (Kind::Float, Kind::Float) | (Kind::Int, Kind::Int) | (Kind::Bool, Kind::Bool) => tensor,
            (Kind::Float, Kind::Int) => Dispatch::float_into_int(tensor, IntDType::I64),
            (Kind::Int, Kind::Float) => Dispatch::int_into_float(tensor, FloatDType::F32),
            (Kind::Bool, Kind::Float) => Dispatch::bool_into_float(tensor, FloatDType::F32),
            (Kind::Bool, Kind::Int) => Dispatch::bool_into_int(tensor, IntDType::I64),
            (Kind::Float, Kind::Bool) => Tensor::<1>::from_dispatch(tensor)
                .not_equal_elem(0.0)
                .into_dispatch(),
            (Kind::Int, Kind::Bool) => Tensor::<1, Int>::from_dispatch(tensor)
                .not_equal_elem(0)
                .into_dispatch(),
        };
        Self {
            tensor,
            kind: to,
            scalar,
        }
    }
}
