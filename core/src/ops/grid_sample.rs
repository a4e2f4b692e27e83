//! `GridSample`: a picture read at places that the network computes, as spatial transformers do.
//! <https://onnx.ai/onnx/operators/onnx__GridSample.html>
//!
//! X is `[batch, channels, height, width]`, `grid` is `[batch, height', width', 2]` with (x, y)
//! from −1 (the left and upper edge) to 1; M. Jaderberg et al., "Spatial Transformer Networks",
//! 2015 (arXiv 1506.02025). Whether −1 means the middle of the first pixel or its outer edge,
//! `align_corners` says.
//!
//! Opset 16 introduced it; 20 renamed `bilinear` to `linear` and `bicubic` to `cubic`, and added
//! three spatial axes. Cubic interpolation and three axes are refused.

use burn::tensor::{Device, Int, Tensor};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// What is read outside of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zero.
    Zeros,
    /// The nearest pixel of the border.
    Border,
    /// The picture mirrored at its border.
    Reflection,
}

/// Reads a picture at the places of a grid.
#[derive(Clone, Copy, Debug)]
pub struct GridSample {
    /// Whether the nearest pixel is taken in place of a mean of four.
    pub nearest: bool,
    /// What is read outside.
    pub outside: Outside,
    /// Whether −1 and 1 are the middles of the outermost pixels.
    pub align_corners: bool,
}

impl GridSample {
    /// A coordinate in pixels, from −1 to 1 before; 0 is the middle of the first one.
    fn pixel(&self, coordinate: Tensor<1>, extent: usize) -> Tensor<1> {
        let extent = extent as f32;
        let (low, high) = if self.align_corners {
            (0.0, extent - 1.0)
        } else {
            (-0.5, extent - 0.5)
        };
        let place = (coordinate + 1.0) * ((high - low) / 2.0) + low;
        let place = if self.nearest { place.round() } else { place };
        match self.outside {
            Outside::Zeros => place,
            Outside::Border => place.clamp(0.0, extent - 1.0),
            Outside::Reflection if high == low => place * 0.0 + low,
            Outside::Reflection => {
                let period = 2.0 * (high - low);
                let from_low = place - low;
                let turns = (from_low.clone() / period).floor();
                let along = from_low - turns * period;
                let mirrored = -(along - (high - low)).abs() + high;
                mirrored.clamp(0.0, extent - 1.0)
            }
        }
    }

    /// The pixels between which a place lies, with their shares of what is read there.
    fn taps(&self, place: &Tensor<1>, extent: usize) -> Vec<(Tensor<1, Int>, Tensor<1>)> {
        let last = extent as f32 - 1.0;
        let first = if self.nearest {
            place.clone().round()
        } else {
            place.clone().floor()
        };
        // Where the floor jumps, the share of the other pixel is 1: the place alone has a gradient.
        let first = first.detach();
        let count = if self.nearest { 1 } else { 2 };
        (0..count)
            .map(|tap| {
                let pixel = first.clone() + tap as f32;
                let share = if self.nearest {
                    pixel.ones_like()
                } else if tap == 0 {
                    -(place.clone() - first.clone()) + 1.0
                } else {
                    place.clone() - first.clone()
                };
                // Infinite places are outside; their share is no number.
                let inside = pixel
                    .clone()
                    .greater_equal_elem(0.0)
                    .bool_and(pixel.clone().lower_equal_elem(last));
                let share = share.zeros_like().mask_where(inside, share);
                // Indices live on the CPU, as those of ArgMax do.
                let index = Value::from(pixel.clamp(0.0, last))
                    .cast(Kind::Int)
                    .to_device(&Device::flex());
                (index.int().clamp(0, extent as i64 - 1), share)
            })
            .collect()
    }
}

impl Op for GridSample {
    fn name(&self) -> &'static str {
        "GridSample"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        let grid = inputs.filled(1, "grid")?;
        let &[batch, channels, _, _] = x.dims.as_slice() else {
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: "[batch, channels, height, width]".to_owned(),
            });
        };
        match *grid.dims.as_slice() {
            [grids, height, width, 2] if grids == batch => {
                Ok(vec![Fact::float([batch, channels, height, width])])
            }
            _ => Err(OpError::Shape {
                name: "grid",
                got: grid.dims.clone(),
                expected: format!("[{batch}, height, width, 2]"),
            }),
        }
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let grid = inputs.required(1, "grid")?.clone().to_device(&x.device());
        let (dims, places) = (x.dims(), grid.dims());
        let (batch, channels, height, width) = (dims[0], dims[1], dims[2], dims[3]);
        let count = places[..3].iter().product::<usize>();
        let along = |axis: usize| {
            grid.clone()
                .narrow(3, axis, axis + 1)
                .reshape(&[count])
                .float::<1>()
        };
        let columns = self.taps(&self.pixel(along(0), width), width);
        let rows = self.taps(&self.pixel(along(1), height), height);

        // Pixels as rows `[batch · height · width, channels]`, so that one index reads all
        // channels.
        let pixels = x
            .permute(&[0, 2, 3, 1])
            .reshape(&[batch * height * width, channels]);
        let each = count / batch;
        let pictures: Vec<i64> = (0..count)
            .map(|place| (place / each * height * width) as i64)
            .collect();
        let pictures = Value::ints(pictures, &[count]).int::<1>();
        let mut sum: Option<Tensor<2>> = None;
        for (row, row_share) in &rows {
            for (column, column_share) in &columns {
                let index = pictures.clone() + row.clone() * width as i64 + column.clone();
                let read: Tensor<2> = pixels.clone().select(0, Value::from(index)).float();
                let share = row_share.clone() * column_share.clone();
                let part = read * share.reshape([count, 1]);
                sum = Some(match sum {
                    Some(sum) => sum + part,
                    None => part,
                });
            }
        }
        let sum = sum.map_or_else(
            || Value::empty(Kind::Float, &[0, channels], &pixels.device()),
            Value::from,
        );
        let made = sum.reshape(&[batch, places[1], places[2], channels]);
        Ok(vec![made.permute(&[0, 3, 1, 2])])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let nearest = match node.text("mode")? {
        None | Some("bilinear" | "linear") => false,
        Some("nearest") => true,
        Some(mode @ ("bicubic" | "cubic")) => {
            return Err(OpError::Unsupported {
                what: format!("mode `{mode}`"),
            });
        }
        Some(other) => return Err(node.bad("mode", other, "linear, nearest or cubic")),
    };
    let outside = match node.text("padding_mode")? {
        None | Some("zeros") => Outside::Zeros,
        Some("border") => Outside::Border,
        Some("reflection") => Outside::Reflection,
        Some(other) => return Err(node.bad("padding_mode", other, "zeros, border or reflection")),
    };
    Ok(Box::new(GridSample {
        nearest,
        outside,
        align_corners: node.flag("align_corners", false)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "GridSample",
    forms: &[20],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, floats, infer_op, ramp, run_op, waves};

    /// Places inside, between pixels, and outside on two sides.
    fn grid() -> Value {
        floats(&[1, 2, 2, 2], &[0.0, 0.0, -0.3, 0.6, -1.4, 0.2, 0.5, 2.3])
    }

    #[test]
    fn values_agree_with_pytorch() {
        // torch.nn.functional.grid_sample(torch.arange(6.).reshape(1, 1, 2, 3) + 1, grid,
        // "bilinear", padding, align_corners)
        let x = Some(ramp(&[1, 1, 2, 3], 1.0, 1.0));
        for (padding, align, expected) in EXPECTED {
            let attributes = [
                ("padding_mode", (*padding).into()),
                ("align_corners", (*align).into()),
            ];
            let inputs = [x.clone(), Some(grid())];
            let made = run_op("GridSample", 16, &attributes, &inputs).unwrap();
            assert_floats(&made[0], &[1, 1, 2, 2], expected);
        }
    }

    const EXPECTED: &[(&str, i64, &[f32])] = &[
        ("zeros", 0, &[3.5, 4.095, 0.0, 0.0]),
        ("zeros", 1, &[3.5, 4.1, 1.68, 1.925]),
        ("border", 0, &[3.5, 4.55, 3.1, 5.75]),
        ("border", 1, &[3.5, 4.1, 2.8, 5.5]),
        ("reflection", 0, &[3.5, 4.55, 3.2, 3.35]),
        ("reflection", 1, &[3.5, 4.1, 3.2, 3.55]),
    ];

    #[test]
    fn picture_and_grid_have_gradients() {
        let x = Some(waves(&[2, 2, 3, 4], 0.0, 0.7));
        // Farther than a finite difference from the middles of pixels, where the mean has kinks.
        let inside = floats(&[2, 1, 2, 2], &[-0.55, 0.11, 0.4, -0.4, 0.21, 0.43, -0.13, -0.37]);
        for padding in ["zeros", "border", "reflection"] {
            for align in [0_i64, 1] {
                let attributes = [("padding_mode", padding.into()), ("align_corners", align.into())];
                assert_gradients(
                    "GridSample",
                    16,
                    &attributes,
                    &[x.clone(), Some(inside.clone())],
                    &[0, 1],
                );
            }
        }
    }

    #[test]
    fn places_that_are_no_numbers_are_read_as_something() {
        let strange = floats(&[1, 1, 3, 2], &[f32::NAN, 0.0, f32::INFINITY, 0.0, -1e30, 1e30]);
        for padding in ["zeros", "border", "reflection"] {
            let inputs = [Some(ramp(&[1, 1, 2, 3], 1.0, 1.0)), Some(strange.clone())];
            let made = run_op("GridSample", 20, &[("padding_mode", padding.into())], &inputs).unwrap();
            assert_eq!(made[0].dims(), [1, 1, 1, 3]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let infer = |mode: &str, x: &[usize], grid: &[usize]| {
            let inputs = [Some(Fact::float(x)), Some(Fact::float(grid))];
            infer_op("GridSample", 20, &[("mode", mode.into())], &inputs).unwrap_err()
        };
        let cubic = infer("cubic", &[1, 1, 2, 2], &[1, 1, 1, 2]);
        assert!(matches!(cubic, OpError::Unsupported { .. }), "{cubic}");
        let solid = infer("linear", &[1, 1, 2, 2, 2], &[1, 1, 1, 1, 3]);
        assert!(matches!(solid, OpError::Shape { name: "X", .. }), "{solid}");
        let batch = infer("linear", &[2, 1, 2, 2], &[1, 1, 1, 2]);
        assert!(matches!(batch, OpError::Shape { name: "grid", .. }), "{batch}");
    }
}
