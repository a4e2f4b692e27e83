//! `AffineGrid`: the places that an affine map gives to the pixels of a picture, for `GridSample`.
//! <https://onnx.ai/onnx/operators/onnx__AffineGrid.html>
//!
//! `theta` is `[batch, 2, 3]`, `size` the picture's [batch, channels, height, width]; out comes
//! `[batch, height, width, 2]`. Opset 20 introduced it; three spatial axes are refused.

use burn::tensor::{Device, Tensor, TensorData};

use super::shaped::{Shaped, extents};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, work};
use crate::value::{Kind, Value};

/// Places of pixels under an affine map.
#[derive(Clone, Copy, Debug)]
pub struct AffineGrid {
    /// Whether −1 and 1 are the middles of the outermost pixels.
    pub align_corners: bool,
}

/// Batch, height and width.
fn plan<T: Shaped>(inputs: &Inputs<'_, T>) -> Result<[usize; 3], OpError> {
    let theta = inputs.required(0, "theta")?.extents();
    let written = inputs.integers(1, "size")?;
    let size = extents("size", &written)?;
    let &[batch, _, height, width] = size.as_slice() else {
        return Err(OpError::Content {
            name: "size",
            got: format!("{written:?}"),
            expected: "[batch, channels, height, width]".to_owned(),
        });
    };
    if batch * height * width == 0 {
        return Err(OpError::Content {
            name: "size",
            got: format!("{written:?}"),
            expected: "extents of 1 or more".to_owned(),
        });
    }
    if theta != [batch, 2, 3] {
        return Err(OpError::Shape {
            name: "theta",
            got: theta,
            expected: format!("[{batch}, 2, 3]"),
        });
    }
    Ok([batch, height, width])
}

impl AffineGrid {
    /// The coordinate of each pixel along an axis.
    fn coordinates(&self, extent: usize) -> impl Iterator<Item = f32> + use<> {
        let (first, step) = if self.align_corners && extent > 1 {
            (-1.0, 2.0 / (extent - 1) as f32)
        } else {
            (1.0 / extent as f32 - 1.0, 2.0 / extent as f32)
        };
        (0..extent).map(move |place| first + step * place as f32)
    }
}

impl Op for AffineGrid {
    fn name(&self) -> &'static str {
        "AffineGrid"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        inputs.of_kind(0, "theta", Kind::Float)?;
        let [batch, height, width] = plan(inputs)?;
        Ok(vec![Fact::float([batch, height, width, 2])])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let theta = inputs.required(0, "theta")?.clone();
        let [batch, height, width] = plan(inputs)?;
        let columns: Vec<f32> = self.coordinates(width).collect();
        let mut pixels = Vec::with_capacity(height * width * 3);
        for y in self.coordinates(height) {
            for x in &columns {
                pixels.extend([*x, y, 1.0]);
            }
        }
        let pixels = Value::from_data(TensorData::new(pixels, [1, height * width, 3]), &Device::flex());
        let pixels: Tensor<3> = pixels
            .to_device(&theta.device())
            .expand(&[batch, height * width, 3])
            .float();
        let places = pixels.matmul(theta.float::<3>().swap_dims(1, 2));
        Ok(vec![Value::from(places).reshape(&[batch, height, width, 2])])
    }

    fn cost(&self, _inputs: &Inputs<'_, Fact>, outputs: &[Fact]) -> u64 {
        work(
            outputs
                .iter()
                .flat_map(|made| made.dims.iter().copied())
                .chain([3]),
        )
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let align_corners = node.flag("align_corners", false)?;
    Ok(Box::new(AffineGrid { align_corners }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "AffineGrid",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, infer_op, ints, ramp, run_op};
    use super::*;

    #[test]
    fn places_agree_with_pytorch() {
        // torch.nn.functional.affine_grid((torch.arange(6.) * 0.3 - 0.4).reshape(1, 2, 3), (1, 1,
        // 2, 2), align_corners)
        let inputs = [Some(ramp(&[1, 2, 3], -0.4, 0.3)), Some(ints(&[4], &[1, 1, 2, 2]))];
        for (align, expected) in EXPECTED {
            let attributes = [("align_corners", (*align).into())];
            let made = run_op("AffineGrid", 20, &attributes, &inputs).unwrap();
            assert_floats(&made[0], &[1, 2, 2, 2], expected);
            assert_gradients("AffineGrid", 20, &attributes, &inputs, &[0]);
        }
    }

    const EXPECTED: &[(i64, [f32; 8])] = &[
        (0, [0.45, 0.45, 0.05, 0.95, 0.35, 1.25, -0.05, 1.75]),
        (1, [0.7, -0.2, -0.1, 0.8, 0.5, 1.4, -0.3, 2.4]),
    ];

    #[test]
    fn what_does_not_fit_is_refused() {
        let infer = |theta: &[usize], size: &[i64]| {
            let size = Fact::known(ints(&[size.len()], size));
            infer_op("AffineGrid", 20, &[], &[Some(Fact::float(theta)), Some(size)]).unwrap_err()
        };
        let solid = infer(&[1, 3, 4], &[1, 1, 2, 2, 2]);
        assert!(matches!(solid, OpError::Content { name: "size", .. }), "{solid}");
        let batch = infer(&[1, 2, 3], &[2, 1, 2, 2]);
        assert!(matches!(batch, OpError::Shape { name: "theta", .. }), "{batch}");
        let none = infer(&[1, 2, 3], &[1, 1, 0, 2]);
        assert!(matches!(none, OpError::Content { name: "size", .. }), "{none}");
    }
}
