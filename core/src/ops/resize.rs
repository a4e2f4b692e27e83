//! `Resize`, and `Upsample` of opset 9: nearest, linear and cubic interpolation along any axes.
//! <https://onnx.ai/onnx/operators/onnx__Resize.html>,
//! <https://onnx.ai/onnx/operators/onnx__Upsample.html>
//!
//! Opset 10 replaced `Upsample` by `Resize` (`scales` in the second input, coordinates
//! `asymmetric`); 11 added `roi`, `sizes` and the modes of coordinates, rounding and cubic
//! interpolation; 13 made `roi` and `scales` optional and dropped `tf_half_pixel_for_nn`; 18 added
//! `axes`, `antialias` and `keep_aspect_ratio_policy`; 19 added `half_pixel_symmetric`.
//!
//! Refused: `tf_crop_and_resize` (and with it `roi`). An axis of scale 1 is left alone, as ONNX
//! Runtime leaves it.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::TensorData;

use super::interpolation::{Coordinates, Interpolation, Rounding, Stretch, Tap};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// Interpolation to other extents.
#[derive(Clone, Debug)]
pub struct Resize {
    /// The operator's name in the file.
    name: &'static str,
    /// Where an element comes from.
    pub coordinates: Coordinates,
    /// How it is made.
    pub interpolation: Interpolation,
    /// The resized axes, as written; all where absent.
    pub axes: Option<Vec<i64>>,
    /// Which input holds the scales; `sizes`, where the form has them, follow.
    scales: usize,
    /// What becomes of the sides' ratio where extents are asked for.
    aspect: Aspect,
}

/// What becomes of the ratio of the resized axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    /// Each axis gets its extent.
    Stretch,
    /// All are scaled alike, so that none gets more than its extent.
    NotLarger,
    /// All are scaled alike, so that none gets less.
    NotSmaller,
}

impl Aspect {
    /// The scale of all axes, from what each asks for; `None` where each has its own.
    fn common(self, scales: impl Iterator<Item = f32>) -> Option<f32> {
        match self {
            Aspect::Stretch => None,
            Aspect::NotLarger => Some(scales.fold(f32::INFINITY, f32::min)),
            Aspect::NotSmaller => Some(scales.fold(0.0, f32::max)),
        }
    }
}

/// What the file asks for along the resized axes.
enum Asked {
    Scales(Vec<f32>),
    Sizes(Vec<i64>),
}

/// Extents beyond this come from a broken file.
const LARGEST: f32 = 1e9;

impl Resize {
    /// What is asked for, from the content of the inputs.
    fn asked<T>(
        &self,
        inputs: &Inputs<'_, T>,
        floats: impl Fn(&T) -> Option<Vec<f32>>,
        ints: impl Fn(&T) -> Option<Vec<i64>>,
    ) -> Result<Asked, OpError> {
        // An empty list stands for an absent input: opset 11 has no other way to leave `scales`
        // out.
        let not_constant = |name| OpError::NotConstant { name };
        if let Some(scales) = inputs.optional(self.scales) {
            let scales = floats(scales).ok_or_else(|| not_constant("scales"))?;
            if !scales.is_empty() {
                return Ok(Asked::Scales(scales));
            }
        }
        if let Some(sizes) = inputs.optional(self.scales + 1) {
            let sizes = ints(sizes).ok_or_else(|| not_constant("sizes"))?;
            if !sizes.is_empty() {
                return Ok(Asked::Sizes(sizes));
            }
        }
        Err(OpError::MissingInput {
            index: self.scales,
            name: "scales",
        })
    }

    /// The axes that are resized, each once.
    fn resized_axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        let axes: Vec<usize> = match &self.axes {
            None => (0..rank).collect(),
            Some(axes) => axes
                .iter()
                .map(|axis| resolve_axis(*axis, rank))
                .collect::<Result<_, _>>()?,
        };
        if let Some(twice) = axes
            .iter()
            .enumerate()
            .find(|(i, axis)| axes[..*i].contains(axis))
        {
            return Err(OpError::BadAttribute {
                attribute: "axes".to_owned(),
                got: format!("naming axis {} twice", twice.1),
                expected: "each axis once".to_owned(),
            });
        }
        Ok(axes)
    }

    /// The stretched axes of an input with these extents.
    fn stretches(&self, dims: &[usize], asked: &Asked) -> Result<Vec<(usize, Stretch)>, OpError> {
        let axes = self.resized_axes(dims.len())?;
        let refuse =
            |name: &'static str, got: String, expected: String| OpError::Content { name, got, expected };
        let length = |name: &'static str, length: usize| {
            if length == axes.len() {
                return Ok(());
            }
            Err(refuse(
                name,
                format!("{length} numbers"),
                format!("{}, one per axis", axes.len()),
            ))
        };
        let stretch = |input: usize, output: f32, scale: f32, name: &'static str| {
            if scale.is_finite() && scale > 0.0 && (1.0..=LARGEST).contains(&output) {
                return Ok(Stretch {
                    input,
                    output: output as usize,
                    scale,
                });
            }
            let got = format!("{scale} for an axis of extent {input}");
            Err(refuse(
                name,
                got,
                "something that leaves at least one element".to_owned(),
            ))
        };
        match asked {
            Asked::Scales(scales) => {
                length("scales", scales.len())?;
                let pairs = axes.iter().zip(scales);
                pairs
                    .map(|(axis, scale)| {
                        let input = dims[*axis];
                        // In 32-bit floats, as ONNX Runtime computes it.
                        Ok((
                            *axis,
                            stretch(input, (input as f32 * scale).floor(), *scale, "scales")?,
                        ))
                    })
                    .collect()
            }
            Asked::Sizes(sizes) => {
                length("sizes", sizes.len())?;
                let pairs = axes.iter().zip(sizes);
                let scales = pairs
                    .clone()
                    .map(|(axis, size)| *size as f32 / dims[*axis] as f32);
                let common = self.aspect.common(scales);
                if let Some(scale) = common {
                    // Halves go up, as ONNX has it.
                    let rounded = |axis: &usize| (scale * dims[*axis] as f32 + 0.5).floor();
                    let one =
                        |axis: &usize| Ok((*axis, stretch(dims[*axis], rounded(axis), scale, "sizes")?));
                    return axes.iter().map(one).collect();
                }
                pairs
                    .map(|(axis, size)| {
                        let input = dims[*axis];
                        let scale = *size as f32 / input as f32;
                        let made = stretch(input, *size as f32, scale, "sizes")?;
                        let output = usize::try_from(*size).unwrap_or(made.output);
                        Ok((*axis, Stretch { output, ..made }))
                    })
                    .collect()
            }
        }
    }
}

/// One axis of `x`, stretched.
fn stretch(x: Value, axis: usize, taps: Vec<Tap>) -> Value {
    let mut dims = x.dims();
    let output = taps[0].indices.len();
    if let [Tap { indices, .. }] = taps.as_slice() {
        // Each element repeated the same number of times needs no gathering, forth or back.
        let times = output / dims[axis];
        if times * dims[axis] == output
            && indices
                .iter()
                .enumerate()
                .all(|(i, index)| *index == (i / times) as i64)
        {
            let outer: usize = dims[..axis].iter().product();
            let inner: usize = dims[axis + 1..].iter().product();
            let input = dims[axis];
            dims[axis] = output;
            return x
                .reshape(&[outer, input, 1, inner])
                .expand(&[outer, input, times, inner])
                .reshape(&dims);
        }
        return x.select(axis, Value::ints(indices.clone(), &[output]));
    }
    let mut shape = vec![1; dims.len()];
    shape[axis] = output;
    let device = x.device();
    let weighted = taps.into_iter().map(|tap| {
        let weights = Value::from_data(TensorData::new(tap.weights, shape.clone()), &device);
        let elements = x.clone().select(axis, Value::ints(tap.indices, &[output]));
        Dispatch::float_mul(elements.into_dispatch(), weights.into_dispatch())
    });
    weighted
        .reduce(Dispatch::float_add)
        .map_or_else(|| x.clone(), Value::new)
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        self.name
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "X")?;
        if !matches!(self.interpolation, Interpolation::Nearest(_)) {
            inputs.of_kind(0, "X", Kind::Float)?;
        }
        inputs.optional_float(self.scales, "scales")?;
        if inputs.optional(self.scales + 1).is_some() {
            inputs.of_kind(self.scales + 1, "sizes", Kind::Int)?;
        }
        let known = |fact: &Fact| fact.value.clone();
        let asked = self.asked(
            inputs,
            |fact| known(fact).and_then(|value| value.to_floats()),
            Fact::ints,
        )?;
        let mut dims = x.dims.clone();
        for (axis, stretch) in self.stretches(&x.dims, &asked)? {
            dims[axis] = stretch.output;
        }
        Ok(vec![Fact::new(x.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "X")?.clone();
        let asked = self.asked(inputs, Value::to_floats, Value::to_ints)?;
        let mut stretches = self.stretches(&x.dims(), &asked)?;
        // What shrinks goes first, so that nothing in between is larger than input and output.
        stretches.sort_by_key(|(_, stretch)| stretch.output > stretch.input);
        for (axis, asked) in stretches {
            if asked.scale != 1.0 {
                x = stretch(x, axis, asked.taps(self.coordinates, self.interpolation));
            }
        }
        Ok(vec![x])
    }

    fn role(&self, input: usize) -> Role {
        if input == 0 { Role::Weight } else { Role::Constant }
    }
}

fn coordinates(node: &NodeReader<'_>) -> Result<Coordinates, OpError> {
    const KNOWN: &str = "half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners or asymmetric";
    Ok(match node.text("coordinate_transformation_mode")? {
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("tf_half_pixel_for_nn") if node.opset < 13 => Coordinates::TfHalfPixelForNn,
        Some("tf_crop_and_resize") => {
            return Err(OpError::Unsupported {
                what: "`coordinate_transformation_mode = tf_crop_and_resize`".to_owned(),
            });
        }
        Some(other) => return Err(node.bad("coordinate_transformation_mode", other, KNOWN)),
    })
}

fn rounding(node: &NodeReader<'_>) -> Result<Rounding, OpError> {
    const KNOWN: &str = "round_prefer_floor, round_prefer_ceil, floor or ceil";
    Ok(match node.text("nearest_mode")? {
        None | Some("round_prefer_floor") => Rounding::PreferFloor,
        Some("round_prefer_ceil") => Rounding::PreferCeil,
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some(other) => return Err(node.bad("nearest_mode", other, KNOWN)),
    })
}

/// `Upsample` of opset 9 and `Resize` of opset 10.
fn read_old(node: &NodeReader<'_>, name: &'static str) -> Result<Box<dyn Op>, OpError> {
    let interpolation = match node.text("mode")? {
        None | Some("nearest") => Interpolation::Nearest(Rounding::Simple),
        Some("linear" | "bilinear") => Interpolation::Linear,
        Some(other) => return Err(node.bad("mode", other, "nearest or linear")),
    };
    Ok(Box::new(Resize {
        name,
        coordinates: Coordinates::Asymmetric,
        interpolation,
        axes: None,
        scales: 1,
        aspect: Aspect::Stretch,
    }))
}

fn read_upsample(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    if node.opset >= 10 {
        return Err(OpError::Unsupported {
            what: format!("`Upsample` in opset {} (`Resize` has replaced it)", node.opset),
        });
    }
    read_old(node, "Upsample")
}

fn read_resize(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    if node.opset < 11 {
        return read_old(node, "Resize");
    }
    let coordinates = coordinates(node)?;
    let rounding = rounding(node)?;
    let cubic = Interpolation::Cubic {
        a: node.float("cubic_coeff_a", -0.75)?,
        exclude_outside: node.flag("exclude_outside", false)?,
    };
    let interpolation = match node.text("mode")? {
        None | Some("nearest") => Interpolation::Nearest(rounding),
        Some("linear") => Interpolation::Linear,
        Some("cubic") => cubic,
        Some(other) => return Err(node.bad("mode", other, "nearest, linear or cubic")),
    };
    // Only `tf_crop_and_resize` extrapolates.
    node.float("extrapolation_value", 0.0)?;
    // A filter of the nearest element alone cannot be widened: there ONNX Runtime ignores it too.
    let antialias = node.flag("antialias", false)?;
    let exclude_outside = node.flag("exclude_outside", false)?;
    let widened = |cubic| Interpolation::Antialiased {
        cubic,
        exclude_outside,
    };
    let interpolation = match interpolation {
        Interpolation::Linear if antialias => widened(None),
        Interpolation::Cubic { a, .. } if antialias => widened(Some(a)),
        other => other,
    };
    let aspect = match node.text("keep_aspect_ratio_policy")? {
        None | Some("stretch") => Aspect::Stretch,
        Some("not_larger") => Aspect::NotLarger,
        Some("not_smaller") => Aspect::NotSmaller,
        Some(other) => {
            return Err(node.bad(
                "keep_aspect_ratio_policy",
                other,
                "stretch, not_larger or not_smaller",
            ));
        }
    };
    Ok(Box::new(Resize {
        name: "Resize",
        coordinates,
        interpolation,
        axes: node.ints("axes")?,
        scales: 2,
        aspect,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "Resize",
        forms: &[11, 13],
        read: read_resize,
    },
    Operator {
        name: "Upsample",
        forms: &[10],
        read: read_upsample,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Attribute;
    use crate::ops::testing::{
        Written, assert_floats, assert_gradients, floats, infer_op, ints, ramp, read_op, run_op, waves,
    };

    /// Mode and coordinates, then the outputs of 8 and 3 elements, and of scale 1.7.
    const MODES: &str = "
        nearest half_pixel | 0 0 1 2 2 3 4 4 | 0 2 4 | 0 0 1 2 2 3 3 4
        nearest half_pixel_symmetric | 0 0 1 2 2 3 4 4 | 0 2 4 | 0 1 1 2 2 3 3 4
        nearest pytorch_half_pixel | 0 0 1 2 2 3 4 4 | 0 2 4 | 0 0 1 2 2 3 3 4
        nearest align_corners | 0 1 1 2 2 3 3 4 | 0 2 4 | 0 1 1 2 2 3 3 4
        nearest asymmetric | 0 1 1 2 2 3 4 4 | 0 2 3 | 0 1 1 2 2 3 4 4
        linear half_pixel | 0 0.4375 1.0625 1.6875 2.3125 2.9375 3.5625 4 | 0.333333 2 3.666667 | 0 0.382353 0.970588 1.558824 2.147059 2.735294 3.323529 3.911765
        linear half_pixel_symmetric | 0 0.4375 1.0625 1.6875 2.3125 2.9375 3.5625 4 | 0.333333 2 3.666667 | 0 0.529412 1.117647 1.705882 2.294117 2.882353 3.470588 4
        linear pytorch_half_pixel | 0 0.4375 1.0625 1.6875 2.3125 2.9375 3.5625 4 | 0.333333 2 3.666667 | 0 0.382353 0.970588 1.558824 2.147059 2.735294 3.323529 3.911765
        linear align_corners | 0 0.571429 1.142857 1.714286 2.285715 2.857143 3.428571 4 | 0 2 4 | 0 0.571429 1.142857 1.714286 2.285715 2.857143 3.428571 4
        linear asymmetric | 0 0.625 1.25 1.875 2.5 3.125 3.75 4 | 0 1.666667 3.333333 | 0 0.588235 1.176471 1.764706 2.352941 2.941176 3.529412 4
        cubic half_pixel | -0.092834 0.34906 1.088135 1.647217 2.352783 2.911865 3.65094 4.092834 | 0.25926 2 3.740739 | -0.097376 0.300739 0.956525 1.544321 2.191331 2.689497 3.415257 3.933652
        cubic half_pixel_symmetric | -0.092834 0.34906 1.088135 1.647217 2.352783 2.911865 3.65094 4.092834 | 0.25926 2.000001 3.740739 | -0.03908 0.434155 1.157339 1.663139 2.336863 2.842661 3.565845 4.03908
        cubic pytorch_half_pixel | -0.092834 0.34906 1.088135 1.647217 2.352783 2.911865 3.65094 4.092834 | 0.25926 2 3.740739 | -0.097376 0.300739 0.956525 1.544321 2.191331 2.689497 3.415257 3.933652
        cubic align_corners | 0 0.475219 1.186589 1.670553 2.329447 2.81341 3.524782 4 | 0 2 4 | 0 0.475219 1.186589 1.670553 2.329447 2.81341 3.524782 4
        cubic asymmetric | 0 0.529785 1.296875 1.833984 2.5 3.17627 3.808594 4.109863 | 0 1.629629 3.425927 | 0 0.492062 1.223489 1.717076 2.386525 2.916751 3.621006 4.068694";

    /// `nearest_mode`, then the outputs of 10 and 2 elements.
    const ROUNDINGS: &str = "
        round_prefer_floor | 0 0 1 1 2 2 3 3 4 4 | 1 3
        round_prefer_ceil | 0 0 1 1 2 2 3 3 4 4 | 1 3
        floor | 0 0 0 1 1 2 2 3 3 4 | 0 3
        ceil | 0 1 1 2 2 3 3 4 4 4 | 1 4";

    /// Operator, opset and mode, then scales, extents and elements along the last two axes.
    const OLD: &str = "
        Upsample 9 nearest | 2 1.5 | 6 6 | 0 0 1 2 2 3 0 0 1 2 2 3 4 4 5 6 6 7 4 4 5 6 6 7 8 8 9 10 10 11 8 8 9 10 10 11
        Upsample 9 linear | 2 1.5 | 6 6 | 0 0.666667 1.333333 2 2.666667 3 2 2.666667 3.333333 4 4.666667 5 4 4.666667 5.333333 6 6.666667 7 6 6.666667 7.333333 8 8.666666 9 8 8.666666 9.333333 10 10.666666 11 8 8.666666 9.333333 10 10.666666 11
        Resize 10 nearest | 2 1.5 | 6 6 | 0 0 1 2 2 3 0 0 1 2 2 3 4 4 5 6 6 7 4 4 5 6 6 7 8 8 9 10 10 11 8 8 9 10 10 11
        Resize 10 nearest | 0.5 0.75 | 1 3 | 0 2 3
        Resize 10 linear | 2 1.5 | 6 6 | 0 0.666667 1.333333 2 2.666667 3 2 2.666667 3.333333 4 4.666667 5 4 4.666667 5.333333 6 6.666667 7 6 6.666667 7.333333 8 8.666666 9 8 8.666666 9.333333 10 10.666666 11 8 8.666666 9.333333 10 10.666666 11
        Resize 10 linear | 0.5 0.75 | 1 3 | 0 1.333333 2.666667";

    /// The words before the first bar of each line, and the numbers between the further ones.
    fn records(table: &'static str) -> impl Iterator<Item = (Vec<&'static str>, Vec<Vec<f32>>)> {
        table.trim().lines().map(|line| {
            let mut parts = line.split('|').map(str::split_whitespace);
            let words = parts.next().unwrap().collect();
            let numbers = parts.map(|part| part.map(|number| number.parse().unwrap()).collect());
            (words, numbers.collect())
        })
    }

    /// X, no roi, and either scales or sizes along the last axis.
    fn line(input: usize, scale: Option<f32>, size: Option<i64>) -> Vec<Option<Value>> {
        vec![
            Some(ramp(&[1, 1, input], 0.0, 1.0)),
            None,
            scale.map(|scale| floats(&[3], &[1.0, 1.0, scale])),
            size.map(|size| ints(&[3], &[1, 1, size])),
        ]
    }

    fn attributes(written: &[(&'static str, &str)]) -> Vec<(&'static str, Attribute)> {
        written
            .iter()
            .map(|(name, value)| (*name, (*value).into()))
            .collect()
    }

    #[test]
    fn every_mode_of_coordinates_agrees_with_onnx_runtime() {
        // onnxruntime 1.32: Resize-19, X = [[[0, 1, 2, 3, 4]]], sizes = [1, 1, 8] and [1, 1, 3],
        // scales = [1, 1, 1.7], mode and coordinate_transformation_mode as in the table
        for (words, expected) in records(MODES) {
            let attributes = attributes(&[("mode", words[0]), ("coordinate_transformation_mode", words[1])]);
            let inputs = [
                line(5, None, Some(8)),
                line(5, None, Some(3)),
                line(5, Some(1.7), None),
            ];
            for (inputs, expected) in inputs.iter().zip(expected) {
                let made = run_op("Resize", 19, &attributes, inputs).unwrap();
                assert_floats(&made[0], &[1, 1, expected.len()], &expected);
            }
        }
    }

    #[test]
    fn every_rounding_agrees_with_onnx_runtime() {
        // onnxruntime 1.32: Resize-13, X = [[[0, 1, 2, 3, 4]]], sizes = [1, 1, 10] and [1, 1, 2],
        // mode = nearest, nearest_mode as in the table
        for (words, expected) in records(ROUNDINGS) {
            let attributes = attributes(&[("nearest_mode", words[0])]);
            for (size, expected) in [10, 2].into_iter().zip(expected) {
                let made = run_op("Resize", 13, &attributes, &line(5, None, Some(size))).unwrap();
                assert_floats(&made[0], &[1, 1, expected.len()], &expected);
            }
        }
    }

    #[test]
    fn the_older_forms_agree_with_onnx_runtime() {
        // onnxruntime 1.32: Upsample-9 and Resize-10 on arange(12).reshape(1, 1, 3, 4), scales =
        // [1, 1, 2, 1.5] and [1, 1, 0.5, 0.75]
        for (words, numbers) in records(OLD) {
            let (scales, dims) = (&numbers[0], &numbers[1]);
            let inputs = [
                Some(ramp(&[1, 1, 3, 4], 0.0, 1.0)),
                Some(floats(&[4], &[1.0, 1.0, scales[0], scales[1]])),
            ];
            let opset = words[1].parse().unwrap();
            let made = run_op(words[0], opset, &attributes(&[("mode", words[2])]), &inputs).unwrap();
            assert_floats(&made[0], &[1, 1, dims[0] as usize, dims[1] as usize], &numbers[2]);
        }
    }

    #[test]
    fn chosen_axes_and_cubic_taps_inside_agree_with_onnx_runtime() {
        // onnxruntime 1.32: Resize-18, X = sin(arange(20) * 0.7).reshape(1, 1, 4, 5), sizes = [6,
        // 3], axes = [-2, -1], mode = cubic, exclude_outside = 1, cubic_coeff_a = -0.5
        let inputs = [
            Some(waves(&[1, 1, 4, 5], 0.0, 0.7)),
            None,
            None,
            Some(ints(&[2], &[6, 3])),
        ];
        let written: Written<'_> = &[
            ("axes", Attribute::Ints(vec![-2, -1])),
            ("mode", "cubic".into()),
            ("exclude_outside", 1.into()),
            ("cubic_coeff_a", (-0.5).into()),
        ];
        let made = run_op("Resize", 18, written, &inputs).unwrap();
        assert_floats(
            &made[0],
            &[1, 1, 6, 3],
            &[
                0.209144, 1.114916, 0.517696, -0.21618, -0.048684, 0.184442, -0.359575, -0.858163, -0.199882,
                0.692454, 0.695923, -0.238765, -0.059359, 0.182977, 0.178646, -1.029624, -0.715028, 0.563481,
            ],
        );
        assert_gradients("Resize", 18, written, &inputs, &[0]);
    }

    #[test]
    fn every_interpolation_has_a_gradient() {
        for mode in ["nearest", "linear", "cubic"] {
            for scale in [2.0, 1.7, 0.6] {
                let inputs = [
                    Some(waves(&[1, 2, 3, 4], 0.0, 0.7)),
                    None,
                    Some(floats(&[4], &[1.0, 1.0, scale, scale])),
                ];
                assert_gradients("Resize", 13, &attributes(&[("mode", mode)]), &inputs, &[0]);
            }
        }
    }

    #[test]
    fn a_widened_filter_agrees_with_pytorch() {
        // torch.nn.functional.interpolate(x, size=(2, 3), mode=..., antialias=True), x =
        // sin(arange(8) * 0.7) in both rows
        let x = Value::concat(vec![waves(&[1, 1, 1, 8], 0.0, 0.7); 2], 2);
        let sizes = Some(ints(&[4], &[1, 1, 2, 3]));
        for (mode, expected) in [
            ("linear", [0.555841, 0.471235, -0.685071]),
            ("cubic", [0.568942, 0.539541, -0.781093]),
        ] {
            let written = [
                ("mode", mode.into()),
                ("antialias", 1.into()),
                ("exclude_outside", 1.into()),
                ("cubic_coeff_a", (-0.5).into()),
            ];
            let inputs = [Some(x.clone()), None, None, sizes.clone()];
            let made = run_op("Resize", 18, &written, &inputs).unwrap();
            assert_floats(&made[0], &[1, 1, 2, 3], &[expected, expected].concat());
            assert_gradients("Resize", 18, &written, &inputs, &[0]);
        }
    }

    #[test]
    fn an_aspect_ratio_is_kept_where_it_is_asked_for() {
        // As ONNX's tests resize_upsample_sizes_nearest_not_larger and not_smaller: 2 × 2, asked
        // for 7 × 8.
        let x = Some(waves(&[1, 1, 2, 2], 0.0, 0.7));
        for (policy, expected) in [("not_larger", [1, 1, 7, 7]), ("not_smaller", [1, 1, 8, 8])] {
            let written = [
                ("keep_aspect_ratio_policy", policy.into()),
                ("axes", vec![2, 3].into()),
            ];
            let inputs = [x.clone(), None, None, Some(ints(&[2], &[7, 8]))];
            let made = run_op("Resize", 18, &written, &inputs).unwrap();
            assert_eq!(made[0].dims(), expected);
        }
    }

    #[test]
    fn what_is_not_run_is_refused() {
        let crop = ("coordinate_transformation_mode", "tf_crop_and_resize".into());
        let refused = read_op("Resize", 18, &[crop], 3).map(|_| ()).unwrap_err();
        assert!(matches!(refused, OpError::Unsupported { .. }), "{refused}");
        let upsample = read_op("Upsample", 10, &[], 2).map(|_| ()).unwrap_err();
        assert!(matches!(upsample, OpError::Unsupported { .. }), "{upsample}");
        let typed = read_op("Resize", 18, &[("mode", "cubicc".into())], 3)
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(typed, OpError::BadAttribute { .. }), "{typed}");
    }

    #[test]
    fn an_axis_shrinks_before_another_is_stretched() {
        // In the order of the axes, 16 GiB would lie between input and output.
        let long = 1 << 16;
        let inputs = [
            Some(floats(&[1, long], &vec![1.0; long])),
            None,
            None,
            Some(ints(&[2], &[long as i64, 1])),
        ];
        let made = run_op("Resize", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[long, 1], &vec![1.0; long]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let infer = |scales: Option<Fact>| {
            infer_op("Resize", 13, &[], &[Some(Fact::float([1, 1, 4])), None, scales]).unwrap_err()
        };
        let known = |scales: &[f32]| Some(Fact::known(floats(&[scales.len()], scales)));
        assert!(matches!(infer(None), OpError::MissingInput { .. }));
        assert!(matches!(
            infer(Some(Fact::float([3]))),
            OpError::NotConstant { .. }
        ));
        for scales in [
            &[1.0, 2.0][..],
            &[1.0, 1.0, 0.1],
            &[1.0, 1.0, f32::NAN],
            &[1.0, 1.0, 1e20],
        ] {
            let refused = infer(known(scales));
            assert!(
                matches!(refused, OpError::Content { name: "scales", .. }),
                "{refused}"
            );
        }
    }
}
