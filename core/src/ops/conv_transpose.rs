//! `ConvTranspose`: the transpose of a convolution over 1 or 2 spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html>
//!
//! Y[n, o, stride·p + dilation·k − pad] += W[c, o, k] · X[n, c, p]
//!
//! Opset 11 only worded defaults anew. Three spatial axes are refused. Where the paddings before
//! and after differ, Burn pads with the smaller one and the output is cropped.

use burn::tensor::module::{conv_transpose1d, conv_transpose2d};
use burn::tensor::ops::ConvTransposeOptions;

use super::window::reach;
use super::{Padding, Window};
use crate::op::read::LARGEST_SIZE;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, work};
use crate::value::{Kind, Value};

/// Transposed convolution; the kernel's extents are the weight's.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    /// Groups of channels that do not see one another.
    pub groups: usize,
    kernel: Option<Vec<usize>>,
    /// One geometry per possible number of spatial axes; the attributes may be absent and then hold
    /// their defaults along each axis.
    by_axes: [Result<Geometry, OpError>; 2],
}

/// The attributes that have one entry per spatial axis.
#[derive(Clone, Debug)]
struct Geometry {
    window: Window,
    output_padding: Vec<usize>,
    output_shape: Option<Vec<usize>>,
}

/// One spatial axis of a run: what Burn is told, and the part of its answer that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    padding: usize,
    padding_out: usize,
    start: usize,
    extent: usize,
}

impl Geometry {
    fn read(node: &NodeReader<'_>, axes: usize) -> Result<Self, OpError> {
        let window = Window::read(node, vec![1; axes])?;
        let output_padding = node.sizes("output_padding", axes, 0)?;
        for axis in 0..axes {
            let bound = window.strides[axis].max(window.dilations[axis]);
            if output_padding[axis] >= bound {
                return Err(node.bad(
                    "output_padding",
                    format!("{output_padding:?}"),
                    format!("less than the larger of stride and dilation ({bound}) along axis {axis}"),
                ));
            }
        }
        let output_shape = match node.ints("output_shape")? {
            None => None,
            Some(_) => Some(node.sizes("output_shape", axes, 0)?),
        };
        Ok(Self {
            window,
            output_padding,
            output_shape,
        })
    }

    fn place(&self, axis: usize, kernel: usize, input: usize) -> Result<Axis, OpError> {
        let refuse = |expected: String| OpError::Shape {
            name: "X",
            got: vec![input],
            expected: format!("{expected} along spatial axis {axis}"),
        };
        if input == 0 {
            return Err(refuse("at least one element".to_owned()));
        }
        let stride = self.window.strides[axis];
        // Without any padding: where the last input element's last tap lands, plus one.
        let full = (input - 1) * stride + self.window.dilations[axis] * (kernel - 1) + 1;
        let padded = full + self.output_padding[axis];
        let stated = self.output_shape.as_ref().map(|shape| shape[axis]);
        let (before, extent) = match (&self.window.padding, stated) {
            (Padding::Explicit(pads), None) => {
                let (before, after) = pads[axis];
                let extent = padded.checked_sub(before + after).filter(|extent| *extent > 0);
                let extent = extent.ok_or_else(|| {
                    refuse(format!(
                        "an input whose output ({padded}) exceeds the padding {before} + {after}"
                    ))
                })?;
                (before, extent)
            }
            (padding, stated) => {
                let wanted = stated.unwrap_or(input * stride);
                if wanted == 0 || (stated.is_some() && wanted >= padded + stride) {
                    return Err(refuse(format!(
                        "an input whose output ({padded}) can be padded to {wanted}"
                    )));
                }
                let total = padded.saturating_sub(wanted);
                let small = total / 2;
                let before = if *padding == Padding::SameUpper {
                    small
                } else {
                    total - small
                };
                (before, if stated.is_some() { wanted } else { padded - total })
            }
        };
        // All of it is computed, and then cut.
        let most = reach(extent);
        if padded > most {
            return Err(refuse(format!(
                "an input whose output ({padded}) is cut to {extent} from at most {most}"
            )));
        }
        let after = padded.saturating_sub(before + extent);
        let padding = before.min(after);
        Ok(Axis {
            padding,
            padding_out: (before + extent + padding).saturating_sub(full),
            start: before - padding,
            extent,
        })
    }
}

impl ConvTranspose {
    /// The placement along each spatial axis.
    fn place(&self, x: &[usize], weight: &[usize]) -> Result<(&Geometry, Vec<Axis>), OpError> {
        let refuse = |expected: String| OpError::Shape {
            name: "W",
            got: weight.to_vec(),
            expected,
        };
        if !matches!(weight.len(), 3 | 4) {
            return Err(refuse("[in, out, k] or [in, out, kh, kw]".to_owned()));
        }
        let kernel = &weight[2..];
        if let Some(stated) = &self.kernel
            && stated != kernel
        {
            return Err(refuse(format!(
                "the kernel {stated:?} that `kernel_shape` states"
            )));
        }
        if weight.contains(&0) {
            return Err(refuse("at least one element".to_owned()));
        }
        if !weight[0].is_multiple_of(self.groups) {
            return Err(refuse(format!(
                "input channels divisible by {} groups",
                self.groups
            )));
        }
        if x.len() != weight.len() || x[1] != weight[0] {
            return Err(OpError::Shape {
                name: "X",
                got: x.to_vec(),
                expected: format!("[batch, {}, {} spatial axes]", weight[0], kernel.len()),
            });
        }
        let geometry = self.by_axes[kernel.len() - 1].as_ref().map_err(OpError::clone)?;
        let place = |axis: usize| geometry.place(axis, kernel[axis], x[axis + 2]);
        Ok((geometry, (0..kernel.len()).map(place).collect::<Result<_, _>>()?))
    }
}

impl Op for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        let w = inputs.of_kind(1, "W", Kind::Float)?;
        let (_, axes) = self.place(&x.dims, &w.dims)?;
        let channels = w.dims[1] * self.groups;
        if let Some(b) = inputs.optional_float(2, "B")?
            && b.dims != [channels]
        {
            return Err(OpError::Shape {
                name: "B",
                got: b.dims.clone(),
                expected: format!("[{channels}]"),
            });
        }
        let mut dims = vec![x.dims[0], channels];
        dims.extend(axes.iter().map(|axis| axis.extent));
        Ok(vec![Fact::float(dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let w = inputs.required(1, "W")?.clone();
        let b = inputs.optional(2).map(|b| b.clone().float::<1>());
        let (geometry, axes) = self.place(&x.dims(), &w.dims())?;
        let (strides, dilations) = (&geometry.window.strides, &geometry.window.dilations);
        let mut y: Value = if let [axis] = axes.as_slice() {
            let options = ConvTransposeOptions {
                stride: [strides[0]],
                padding: [axis.padding],
                padding_out: [axis.padding_out],
                dilation: [dilations[0]],
                groups: self.groups,
            };
            conv_transpose1d(x.float(), w.float(), b, options).into()
        } else {
            let options = ConvTransposeOptions {
                stride: [strides[0], strides[1]],
                padding: [axes[0].padding, axes[1].padding],
                padding_out: [axes[0].padding_out, axes[1].padding_out],
                dilation: [dilations[0], dilations[1]],
                groups: self.groups,
            };
            conv_transpose2d(x.float(), w.float(), b, options).into()
        };
        for (index, axis) in axes.iter().enumerate() {
            if y.dims()[index + 2] != axis.extent {
                y = y.narrow(index + 2, axis.start, axis.start + axis.extent);
            }
        }
        Ok(vec![y])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, _outputs: &[Fact]) -> u64 {
        let per_input: usize = inputs.optional(1).map_or(0, |w| w.dims[1..].iter().product());
        inputs.optional(0).map_or(0, |x| work([x.len(), per_input]))
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
        Some(stated) if stated.len() > 2 => {
            return Err(OpError::Unsupported {
                what: format!("a transposed convolution over {} spatial axes", stated.len()),
            });
        }
        Some(stated) => Some(node.sizes("kernel_shape", stated.len(), 1)?),
    };
    let by_axes = [Geometry::read(node, 1), Geometry::read(node, 2)];
    // Attributes that fit no number of axes are refused now, not when a picture comes.
    if let [Err(error), Err(_)] = &by_axes {
        return Err(error.clone());
    }
    Ok(Box::new(ConvTranspose {
        groups,
        kernel,
        by_axes,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "ConvTranspose",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Attribute;
    use crate::ops::testing::{Written, assert_floats, assert_gradients, ramp, run_op, waves};

    fn line(attributes: Written<'_>) -> Result<Value, OpError> {
        let inputs = [Some(ramp(&[1, 1, 3], 1.0, 1.0)), Some(ramp(&[1, 1, 3], 1.0, 1.0))];
        run_op("ConvTranspose", 11, attributes, &inputs).map(|mut made| made.remove(0))
    }

    #[test]
    fn paddings_place_the_output_as_onnx_runtime_does() {
        // onnxruntime 1.32: ConvTranspose-11, X = W = [[[1, 2, 3]]], strides = [2], with the
        // further attributes below.
        let stride = ("strides", Attribute::Ints(vec![2]));
        type Case = (Vec<(&'static str, Attribute)>, &'static [f32]);
        let cases: [Case; 9] = [
            (vec![], &[1.0, 2.0, 5.0, 4.0, 9.0, 6.0, 9.0]),
            (
                vec![("auto_pad", "SAME_UPPER".into())],
                &[1.0, 2.0, 5.0, 4.0, 9.0, 6.0],
            ),
            (
                vec![("auto_pad", "SAME_LOWER".into())],
                &[2.0, 5.0, 4.0, 9.0, 6.0, 9.0],
            ),
            (
                vec![("output_shape", vec![6].into())],
                &[2.0, 5.0, 4.0, 9.0, 6.0, 9.0],
            ),
            (
                vec![
                    ("output_shape", vec![6].into()),
                    ("auto_pad", "SAME_UPPER".into()),
                ],
                &[1.0, 2.0, 5.0, 4.0, 9.0, 6.0],
            ),
            (
                vec![
                    ("output_shape", vec![5].into()),
                    ("output_padding", vec![1].into()),
                ],
                &[5.0, 4.0, 9.0, 6.0, 9.0],
            ),
            (
                vec![("output_shape", vec![8].into())],
                &[1.0, 2.0, 5.0, 4.0, 9.0, 6.0, 9.0, 0.0],
            ),
            (
                vec![("pads", vec![2, 0].into()), ("output_padding", vec![1].into())],
                &[5.0, 4.0, 9.0, 6.0, 9.0, 0.0],
            ),
            (
                vec![("pads", vec![0, 2].into()), ("output_padding", vec![1].into())],
                &[1.0, 2.0, 5.0, 4.0, 9.0, 6.0],
            ),
        ];
        for (mut attributes, expected) in cases {
            attributes.push(stride.clone());
            assert_floats(&line(&attributes).unwrap(), &[1, 1, expected.len()], expected);
        }
        // onnxruntime 1.32: strides = [4], auto_pad = SAME_UPPER: the kernel does not fill the
        // stride.
        let wide = [("strides", vec![4].into()), ("auto_pad", "SAME_UPPER".into())];
        let expected = [1.0, 2.0, 3.0, 0.0, 2.0, 4.0, 6.0, 0.0, 3.0, 6.0, 9.0];
        assert_floats(&line(&wide).unwrap(), &[1, 1, 11], &expected);
    }

    #[test]
    fn groups_dilation_and_bias_agree_with_pytorch() {
        // torch.nn.functional.conv_transpose2d(x, w, b, stride=(2, 1), padding=(1, 0),
        // output_padding=(1, 0), groups=2, dilation=(1, 2)) with x = sin(arange(12) *
        // 0.7).reshape(1, 2, 2, 3), w = sin(arange(8) * 0.9 + 0.4).reshape(2, 1, 2, 2), b = [0.5,
        // -0.5].
        let inputs = [
            Some(waves(&[1, 2, 2, 3], 0.0, 0.7)),
            Some(waves(&[2, 1, 2, 2], 0.4, 0.9)),
            Some(ramp(&[2], 0.5, -1.0)),
        ];
        let attributes: [(&'static str, Attribute); 5] = [
            ("strides", vec![2, 1].into()),
            ("pads", vec![1, 0, 1, 0].into()),
            ("output_padding", vec![1, 0].into()),
            ("group", 2.into()),
            ("dilations", vec![1, 2].into()),
        ];
        let made = run_op("ConvTranspose", 11, &attributes, &inputs).unwrap();
        assert_floats(
            &made[0],
            &[1, 2, 3, 5],
            &[
                0.5, 1.020848, 1.296733, 0.526787, 0.540976, 0.83615, 0.630451, 1.195151, 0.822781, 0.162,
                1.197902, 0.770837, 0.252286, 0.513929, 0.485414, -0.095064, -0.04355, -0.559569, -0.897746,
                -0.755568, -0.512725, -0.997209, -1.264367, -1.145458, -1.470828, -0.507812, -0.805238,
                -0.952298, -0.234019, -0.09994,
            ],
        );
        assert_gradients("ConvTranspose", 11, &attributes, &inputs, &[0, 1, 2]);
    }

    #[test]
    fn cropped_outputs_have_gradients() {
        let inputs = [
            Some(waves(&[2, 2, 4], 0.0, 0.7)),
            Some(waves(&[2, 3, 3], 0.4, 0.9)),
        ];
        let attributes = [("strides", vec![2].into()), ("pads", vec![2, 0].into())];
        assert_gradients("ConvTranspose", 11, &attributes, &inputs, &[0, 1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let too_much = line(&[("pads", vec![2, 3].into())]).unwrap_err();
        assert!(matches!(too_much, OpError::Shape { name: "X", .. }), "{too_much}");
        let too_large = line(&[("output_shape", vec![9].into())]).unwrap_err();
        assert!(
            matches!(too_large, OpError::Shape { name: "X", .. }),
            "{too_large}"
        );
        let output_padding = line(&[("output_padding", vec![1].into())]).unwrap_err();
        assert!(
            matches!(output_padding, OpError::BadAttribute { .. }),
            "{output_padding}"
        );
        let groups = line(&[("group", 2.into())]).unwrap_err();
        assert!(matches!(groups, OpError::Shape { name: "W", .. }), "{groups}");
        let volume = line(&[("kernel_shape", vec![1, 1, 1].into())]).unwrap_err();
        assert!(matches!(volume, OpError::Unsupported { .. }), "{volume}");
        let many = line(&[("group", i64::MAX.into())]).unwrap_err();
        assert!(matches!(many, OpError::BadAttribute { .. }), "{many}");
    }

    #[test]
    fn an_output_that_is_cut_to_nearly_nothing_is_refused() {
        let attributes = [("strides", vec![1000].into()), ("pads", vec![1001, 1001].into())];
        let refused = line(&attributes).unwrap_err().to_string();
        assert!(
            refused.contains("(2003) is cut to 1 from at most 260"),
            "{refused}"
        );
    }
}
