//! `Col2Im`: patches laid back onto a picture, summed where they overlap; PyTorch's `fold`.
//! <https://onnx.ai/onnx/operators/onnx__Col2Im.html>
//!
//! `input` is `[batch, channels · kh · kw, patches]`, `image_shape` [height, width], `block_shape`
//! [kh, kw]. What lands in the border falls away. Opset 18 introduced it. Other than two spatial
//! axes are refused.

use burn::tensor::Tensor;

use super::Window;
use super::scatter_nd::{Reduction, scatter};
use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// The sum of patches.
#[derive(Clone, Debug)]
pub struct Col2Im {
    /// Where patches lie; the kernel is an input.
    window: Window,
}

/// One run: the window with its kernel, and what the input and the picture measure.
struct Plan {
    window: Window,
    batch: usize,
    channels: usize,
    image: [usize; 2],
    /// Patches along each axis.
    patches: [usize; 2],
}

impl Col2Im {
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Plan, OpError> {
        let dims = inputs.required(0, "input")?.extents();
        let image = pair(inputs, 1, "image_shape")?;
        let block = pair(inputs, 2, "block_shape")?;
        let mut window = self.window.clone();
        window.kernel = block.to_vec();
        let area = block[0] * block[1];
        let patches = window.output("image_shape", &image, false)?;
        let patches = [patches[0], patches[1]];
        let count = patches[0] * patches[1];
        match *dims.as_slice() {
            [batch, columns, length]
                if length == count && columns.is_multiple_of(area) && batch * columns > 0 =>
            {
                let channels = columns / area;
                Ok(Plan {
                    window,
                    batch,
                    channels,
                    image,
                    patches,
                })
            }
            _ => Err(OpError::Shape {
                name: "input",
                got: dims,
                expected: format!("[batch, a multiple of {area}, {count}]"),
            }),
        }
    }
}

/// Height and width, both at least 1.
fn pair<T: Shaped>(inputs: &Inputs<'_, T>, index: usize, name: &'static str) -> Result<[usize; 2], OpError> {
    let written = inputs.integers(index, name)?;
    // As with attributes: larger ones are faults, and products must not overflow.
    let extent = |written: i64| {
        usize::try_from(written)
            .ok()
            .filter(|extent| (1..=usize::from(u16::MAX)).contains(extent))
    };
    match *written.as_slice() {
        [height, width] => extent(height).zip(extent(width)).map(<[usize; 2]>::from),
        _ => None,
    }
    .ok_or_else(|| OpError::Content {
        name,
        got: format!("{written:?}"),
        expected: "height and width, from 1 to 65535".to_owned(),
    })
}

impl Plan {
    /// Each entry of a patch that lands on the picture: its row among `[kh · kw · patches]`, and
    /// its pixel.
    fn places(&self) -> (Vec<i64>, Vec<i64>) {
        let pads = self.window.pads(&self.image);
        let along = |axis: usize, tap: usize, patch: usize| {
            (patch * self.window.strides[axis] + tap * self.window.dilations[axis])
                .checked_sub(pads[axis].0)
                .filter(|place| *place < self.image[axis])
        };
        let (mut rows, mut pixels, mut row) = (Vec::new(), Vec::new(), 0);
        for tap_y in 0..self.window.kernel[0] {
            for tap_x in 0..self.window.kernel[1] {
                for y in 0..self.patches[0] {
                    for x in 0..self.patches[1] {
                        if let Some((y, x)) = along(0, tap_y, y).zip(along(1, tap_x, x)) {
                            rows.push(row);
                            pixels.push((y * self.image[1] + x) as i64);
                        }
                        row += 1;
                    }
                }
            }
        }
        (rows, pixels)
    }
}

impl Op for Col2Im {
    fn name(&self) -> &'static str {
        "Col2Im"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        inputs.of_kind(0, "input", Kind::Float)?;
        let plan = self.plan(inputs)?;
        let [height, width] = plan.image;
        Ok(vec![Fact::float([plan.batch, plan.channels, height, width])])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let plan = self.plan(inputs)?;
        let ([height, width], planes) = (plan.image, plan.batch * plan.channels);
        let (rows, pixels) = plan.places();
        let empty = Value::from(Tensor::<2>::zeros([height * width, planes], &x.device()));
        let count = rows.len();
        let entries = x.reshape(&[planes, plan.window.kernel.iter().chain(&plan.patches).product()]);
        let entries = entries.permute(&[1, 0]).select(0, Value::ints(rows, &[count]));
        let picture = if count == 0 {
            empty
        } else {
            scatter(empty, pixels, entries, Reduction::Add)
        };
        Ok(vec![picture.permute(&[1, 0]).reshape(&[
            plan.batch,
            plan.channels,
            height,
            width,
        ])])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let window = Window::read(node, vec![1; 2])?;
    Ok(Box::new(Col2Im { window }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Col2Im",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, infer_op, ints, ramp, run_op, waves};
    use super::*;

    #[test]
    fn patches_that_overlap_add_up() {
        // torch.nn.functional.fold(torch.arange(16.).reshape(1, 4, 4), (3, 3), (2, 2))
        let inputs = [
            Some(ramp(&[1, 4, 4], 0.0, 1.0)),
            Some(ints(&[2], &[3, 3])),
            Some(ints(&[2], &[2, 2])),
        ];
        let made = run_op("Col2Im", 18, &[], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[1, 1, 3, 3],
            &[0.0, 5.0, 5.0, 10.0, 30.0, 20.0, 10.0, 25.0, 15.0],
        );
        assert_gradients("Col2Im", 18, &[], &inputs, &[0]);
    }

    #[test]
    fn what_lands_in_the_border_falls_away() {
        // torch.nn.functional.fold(torch.arange(16.).reshape(1, 4, 4), (2, 2), (2, 2), padding=1,
        // stride=2)
        let inputs = [
            Some(ramp(&[1, 4, 4], 0.0, 1.0)),
            Some(ints(&[2], &[2, 2])),
            Some(ints(&[2], &[2, 2])),
        ];
        let attributes = [
            ("pads", vec![1_i64; 4].into()),
            ("strides", vec![2_i64; 2].into()),
        ];
        let made = run_op("Col2Im", 18, &attributes, &inputs).unwrap();
        assert_floats(&made[0], &[1, 1, 2, 2], &[12.0, 9.0, 6.0, 3.0]);
        let inputs = [
            Some(waves(&[2, 12, 4], 0.0, 0.7)),
            Some(ints(&[2], &[2, 2])),
            Some(ints(&[2], &[2, 2])),
        ];
        assert_gradients("Col2Im", 18, &attributes, &inputs, &[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let infer = |dims: &[usize], image: &[i64], block: &[i64]| {
            let known = |values: &[i64]| Some(Fact::known(ints(&[values.len()], values)));
            let inputs = [Some(Fact::float(dims)), known(image), known(block)];
            infer_op("Col2Im", 18, &[], &inputs).unwrap_err()
        };
        let length = infer(&[1, 4, 5], &[3, 3], &[2, 2]);
        assert!(matches!(length, OpError::Shape { name: "input", .. }), "{length}");
        let columns = infer(&[1, 6, 4], &[3, 3], &[2, 2]);
        assert!(
            matches!(columns, OpError::Shape { name: "input", .. }),
            "{columns}"
        );
        let wide = infer(&[1, 4, 4], &[3, 3], &[2, 0]);
        assert!(matches!(wide, OpError::Content { .. }), "{wide}");
        let deep = infer(&[1, 8, 8], &[3, 3, 3], &[2, 2, 2]);
        assert!(matches!(deep, OpError::Content { .. }), "{deep}");
    }
}
