//! `Conv`: convolution over 1 to 3 spatial axes, grouped and dilated.
//! <https://onnx.ai/onnx/operators/onnx__Conv.html>
//!
//! `Y[n, o, p] = B[o] + Σ_{c, k} W[o, c, k] · X[n, g(o) + c, stride·p + dilation·k − pad]`
//!
//! One form since opset 1. Burn has no border over three axes whose sides differ: such a one is
//! added before.

use burn::tensor::module::{conv1d, conv2d, conv3d};
use burn::tensor::ops::{ConvOptions, PadMode};

use super::Window;
use crate::op::read::LARGEST_SIZE;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, work};
use crate::value::{Kind, Value};

/// Convolution; the kernel's extents are the weight's.
#[derive(Clone, Debug)]
pub struct ConvOp {
    /// Groups of channels that do not see one another.
    pub groups: usize,
    /// The window's stride, dilation and padding; its kernel is empty where the file leaves it to
    /// the weight.
    attributes: WindowAttributes,
}

/// The window's attributes before the number of spatial axes is known.
#[derive(Clone, Debug)]
struct WindowAttributes {
    kernel: Option<Vec<usize>>,
    /// One window per possible number of spatial axes; the attributes may be absent and then mean
    /// "1 along each axis".
    by_axes: [Result<Window, OpError>; 3],
}

impl ConvOp {
    /// The window for a weight of shape `[out, in / groups, kernel…]`.
    ///
    /// # Errors
    /// A weight with another number of spatial axes than 1 to 3, or one that contradicts
    /// `kernel_shape`.
    pub fn window(&self, weight: &[usize]) -> Result<Window, OpError> {
        let refuse = |expected: String| OpError::Shape {
            name: "W",
            got: weight.to_vec(),
            expected,
        };
        if !matches!(weight.len(), 3..=5) {
            return Err(refuse("[out, in, kernel…] over 1 to 3 axes".to_owned()));
        }
        let kernel = &weight[2..];
        if let Some(stated) = &self.attributes.kernel
            && stated != kernel
        {
            return Err(refuse(format!(
                "the kernel {stated:?} that `kernel_shape` states"
            )));
        }
        if kernel.contains(&0) {
            return Err(refuse("a kernel of at least 1 along each axis".to_owned()));
        }
        let window = self.attributes.by_axes[kernel.len() - 1].clone()?;
        Ok(Window {
            kernel: kernel.to_vec(),
            ..window
        })
    }

    /// Burn's options; the window is over `AXES` axes.
    fn options<const AXES: usize>(&self, window: &Window, pads: &[(usize, usize)]) -> ConvOptions<AXES> {
        ConvOptions {
            stride: std::array::from_fn(|axis| window.strides[axis]),
            padding: std::array::from_fn(|axis| pads[axis]),
            dilation: std::array::from_fn(|axis| window.dilations[axis]),
            groups: self.groups,
        }
    }
}

impl Op for ConvOp {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        let w = inputs.of_kind(1, "W", Kind::Float)?;
        let window = self.window(&w.dims)?;
        let channels = w.dims[1] * self.groups;
        if x.rank() != w.rank() || x.dims[1] != channels {
            let expected = format!("[batch, {channels}, {} spatial axes]", w.rank() - 2);
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected,
            });
        }
        if !w.dims[0].is_multiple_of(self.groups) {
            let expected = format!("output channels divisible by {} groups", self.groups);
            return Err(OpError::Shape {
                name: "W",
                got: w.dims.clone(),
                expected,
            });
        }
        if inputs.optional(2).is_some()
            && let b = inputs.of_kind(2, "B", Kind::Float)?
            && b.dims != [w.dims[0]]
        {
            return Err(OpError::Shape {
                name: "B",
                got: b.dims.clone(),
                expected: format!("[{}]", w.dims[0]),
            });
        }
        let mut dims = vec![x.dims[0], w.dims[0]];
        dims.extend(window.output("X", &x.dims[2..], false)?);
        Ok(vec![Fact::float(dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let w = inputs.required(1, "W")?.clone();
        let precision = context.precision;
        let b = inputs
            .optional(2)
            .map(|b| precision.factor(b.clone().float::<1>()));
        let window = self.window(&w.dims())?;
        let pads = window.pads(&x.dims()[2..]);
        let y = match pads.len() {
            1 => {
                let options = self.options::<1>(&window, &pads);
                let [x, w] = [x, w].map(|factor| precision.factor(factor.float::<3>()));
                precision.product(conv1d(x, w, b, options)).into()
            }
            2 => {
                let options = self.options::<2>(&window, &pads);
                let [x, w] = [x, w].map(|factor| precision.factor(factor.float::<4>()));
                precision.product(conv2d(x, w, b, options)).into()
            }
            _ => {
                let mut options = self.options::<3>(&window, &pads);
                let [mut x, w] = [x, w].map(|factor| precision.factor(factor.float::<5>()));
                if options.is_asymmetric() {
                    let border = std::mem::take(&mut options.padding);
                    x = x.pad(border, PadMode::Constant(0.0));
                }
                precision.product(conv3d(x, w, b, options)).into()
            }
        };
        Ok(vec![y])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, outputs: &[Fact]) -> u64 {
        let per_output: usize = inputs.optional(1).map_or(0, |w| w.dims[1..].iter().product());
        outputs.first().map_or(0, |y| work([y.len(), per_output]))
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let groups = node.int("group")?.unwrap_or(1);
    let groups = usize::try_from(groups)
        .ok()
        .filter(|groups| (1..=LARGEST_SIZE).contains(groups))
        .ok_or_else(|| {
            node.bad(
                "group",
                groups.to_string(),
                format!("a number from 1 to {LARGEST_SIZE}"),
            )
        })?;
    let kernel = match node.ints("kernel_shape")? {
        None => None,
        Some(stated) => Some(node.sizes("kernel_shape", stated.len(), 1)?),
    };
    let by_axes = [1, 2, 3].map(|axes| Window::read(node, vec![1; axes]));
    // Attributes that fit no number of axes are refused now, not when a picture comes.
    if let [Err(error), Err(_), Err(_)] = &by_axes {
        return Err(error.clone());
    }
    Ok(Box::new(ConvOp {
        groups,
        attributes: WindowAttributes { kernel, by_axes },
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Conv",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradients, read_op, waves};

    #[test]
    fn borders_over_three_axes_whose_sides_differ_have_gradients() {
        let inputs = [
            Some(waves(&[2, 2, 3, 2, 3], 0.0, 0.7)),
            Some(waves(&[2, 1, 2, 2, 2], 0.4, 0.9)),
            Some(waves(&[2], 0.1, 0.3)),
        ];
        let attributes = [
            ("group", 2.into()),
            ("pads", vec![0, 1, 1, 1, 0, 1].into()),
            ("strides", vec![1, 1, 2].into()),
        ];
        assert_gradients("Conv", 11, &attributes, &inputs, &[0, 1, 2]);
    }

    #[test]
    fn more_groups_than_any_network_has_are_refused() {
        for groups in [0, -1, i64::MAX] {
            let refused = read_op("Conv", 11, &[("group", groups.into())], 2).unwrap_err();
            assert!(matches!(refused, OpError::BadAttribute { .. }), "{refused}");
        }
    }
}
