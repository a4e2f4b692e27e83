//! Between Burn's rank-erased tensors and the slices that kernels work on.

use std::borrow::Cow;

use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    Flex, TensorMetadata,
};
use burn::tensor::{Bytes, DType, Shape};

use crate::value::Value;

/// A float tensor on the CPU, with its place in the autodiff graph if it has one.
#[derive(Debug)]
pub struct Operand {
    /// The elements.
    pub tensor: FlexTensor,
    /// Keeps the node alive until what is computed from it is recorded.
    guard: Option<NodeGuard>,
    tracked: bool,
    context: DispatchAutodiffContext,
}

impl Operand {
    /// `None` for what is not a float on Burn's Flex backend, and for everything where the kernels
    /// are not [in use](super::use_kernels).
    pub fn of(value: &Value) -> Option<Self> {
        if !super::in_use() {
            return None;
        }
        let DispatchTensor { kind, autodiff } = value.dispatch();
        let (tensor, guard, tracked) = match kind {
            DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => (tensor.clone(), None, false),
            DispatchTensorKind::Autodiff(inner) => match inner.as_ref() {
                DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => (
                    tensor.primitive().clone(),
                    Some(tensor.node()),
                    tensor.is_tracked(),
                ),
                _ => return None,
            },
            _ => return None,
        };
        (tensor.dtype() == DType::F32).then_some(Self {
            tensor,
            guard,
            tracked,
            context: *autodiff,
        })
    }

    /// Whether gradients flow into it.
    pub fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Whether it lives on a device with autodiff.
    pub fn context(&self) -> DispatchAutodiffContext {
        self.context
    }

    /// The node that a recorded operation depends on; one without gradients where there is none.
    pub fn into_guard(self) -> NodeGuard {
        self.guard.unwrap_or_else(no_node)
    }
}

/// A node without gradients, for operands that are not there.
pub fn no_node() -> NodeGuard {
    let nothing = FlexTensor::empty(Shape::new([1]), DType::F32);
    Autodiff::<Flex>::from_inner(nothing).node()
}

/// A tensor outside autodiff as a value.
pub fn untracked(tensor: FlexTensor) -> Value {
    Value::new(DispatchTensor {
        kind: DispatchTensorKind::Flex(BackendTensor::Float(tensor)),
        autodiff: DispatchAutodiffContext::Disabled,
    })
}

/// The result of a recorded operation as a value.
pub fn recorded(
    tensor: burn::backend::tensor::FloatTensor<Autodiff<Flex>>,
    context: DispatchAutodiffContext,
) -> Value {
    let kind = DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor));
    Value::new(DispatchTensor {
        kind: DispatchTensorKind::Autodiff(Box::new(kind)),
        autodiff: context,
    })
}

/// `[batch, channels, height, width]` as numbers.
pub fn extents(tensor: &FlexTensor) -> Option<[usize; 4]> {
    <[usize; 4]>::try_from(tensor.shape().to_vec().as_slice()).ok()
}

/// Whether the elements of a rank-4 tensor lie in the order `[batch, height, width, channels]`.
/// Where an axis has extent 1 its stride says nothing.
pub fn is_channels_last(tensor: &FlexTensor) -> bool {
    let Some([_, channels, height, width]) = extents(tensor) else {
        return false;
    };
    let expected = strides([channels, height, width]);
    let shape = tensor.shape();
    tensor
        .layout()
        .strides()
        .iter()
        .zip(expected)
        .zip(shape.iter())
        .all(|((stride, expected), extent)| *extent <= 1 || *stride == expected)
}

fn strides([channels, height, width]: [usize; 3]) -> [isize; 4] {
    [height * width * channels, 1, width * channels, channels].map(|stride| stride as isize)
}

/// The elements of a rank-4 tensor in the order `[batch, height, width, channels]`.
pub fn channels_last(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    if is_channels_last(tensor) {
        let start = tensor.layout().start_offset();
        let len = tensor.shape().num_elements();
        return Cow::Borrowed(&tensor.storage::<f32>()[start..start + len]);
    }
    let turned = tensor.layout().permute(&[0, 2, 3, 1]);
    Cow::Owned(in_order(&tensor.clone().with_layout(turned)).into_owned())
}

/// Whether two tensors are the same elements in the same order, not only equal ones.
pub fn is_same(a: &FlexTensor, b: &FlexTensor) -> bool {
    a.storage::<f32>().as_ptr() == b.storage::<f32>().as_ptr() && a.layout() == b.layout()
}

/// The elements in the order of the axes.
pub fn in_order(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(elements) => Cow::Borrowed(elements),
        None => {
            let tensor = tensor.to_contiguous();
            Cow::Owned(tensor.storage::<f32>().to_vec())
        }
    }
}

/// A tensor `[batch, channels, height, width]` from elements in the order `[batch, height, width,
/// channels]`.
pub fn from_channels_last(elements: Vec<f32>, [batch, channels, height, width]: [usize; 4]) -> FlexTensor {
    let shape = Shape::new([batch, channels, height, width]);
    let layout = if height * width == 1 {
        Layout::contiguous(shape)
    } else {
        Layout::new(shape, strides([channels, height, width]).to_vec(), 0)
    };
    FlexTensor::new(Bytes::from_elems(elements), layout, DType::F32)
}

/// A tensor from elements in the order of its axes.
pub fn from_order(elements: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(elements), Layout::contiguous(shape), DType::F32)
}
