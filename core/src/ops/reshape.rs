//! `Reshape`: the same elements under another shape.
//! <https://onnx.ai/onnx/operators/onnx__Reshape.html>
//!
//! In the wanted shape −1 stands once for "whatever is left", 0 for "as in the input" unless
//! `allowzero = 1` (opset 14). Opset 5 made the shape an input; 13 to 21 add types.

use super::shaped::{Shaped, extents};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// The same elements under another shape.
#[derive(Clone, Copy, Debug)]
pub struct Reshape {
    /// Whether 0 means an extent of 0.
    pub allow_zero: bool,
}

impl Reshape {
    fn dims<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
        let own = inputs.required(0, "data")?.extents();
        let wanted = inputs.integers(1, "shape")?;
        let count: usize = own.iter().product();
        let refuse = |expected: &str| OpError::Content {
            name: "shape",
            got: format!("{wanted:?}"),
            expected: expected.to_owned(),
        };
        let mut shape = wanted.clone();
        let mut open = None;
        for (axis, extent) in shape.iter_mut().enumerate() {
            match *extent {
                0 if !self.allow_zero => {
                    let copied = own
                        .get(axis)
                        .ok_or_else(|| refuse("0 only for axes of the input"))?;
                    *extent = *copied as i64;
                }
                -1 => {
                    if open.replace(axis).is_some() {
                        return Err(refuse("-1 at most once"));
                    }
                    *extent = 1;
                }
                _ => {}
            }
        }
        let mut dims = extents("shape", &shape)?;
        let stated: usize = dims.iter().product();
        if let Some(axis) = open {
            if stated == 0 || !count.is_multiple_of(stated) {
                return Err(refuse(&format!("extents that divide {count} elements")));
            }
            dims[axis] = count / stated;
        } else if stated != count {
            return Err(refuse(&format!("{count} elements, as in the input {own:?}")));
        }
        Ok(dims)
    }
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "data")?.kind;
        Ok(vec![Fact::new(kind, self.dims(inputs)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let dims = self.dims(inputs)?;
        Ok(vec![inputs.required(0, "data")?.clone().reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let allow_zero = node.opset >= 14 && node.flag("allowzero", false)?;
    Ok(Box::new(Reshape { allow_zero }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Reshape",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradients, assert_ints, floats, infer_op, ints, ramp, run_op};
    use super::*;
    use crate::builder::GraphBuilder;
    use crate::network::Network;
    use crate::op::Mode;
    use crate::value::Kind;
    use burn::tensor::{Device, TensorData};

    fn shape(own: &[usize], wanted: &[i64]) -> Result<Vec<usize>, OpError> {
        let x = Some(Fact::float(own));
        let wanted = Some(Fact::known(ints(&[wanted.len()], wanted)));
        Ok(infer_op("Reshape", 14, &[], &[x, wanted])?.remove(0).dims)
    }

    #[test]
    fn zero_copies_and_minus_one_takes_what_is_left() {
        // np.zeros((2, 3, 4)).reshape(2, -1), .reshape(-1), .reshape(4, 6)
        assert_eq!(shape(&[2, 3, 4], &[0, -1]).unwrap(), [2, 12]);
        assert_eq!(shape(&[2, 3, 4], &[-1]).unwrap(), [24]);
        assert_eq!(shape(&[2, 3, 4], &[4, 6]).unwrap(), [4, 6]);
        assert_eq!(shape(&[], &[1, -1]).unwrap(), [1, 1]);
        assert_eq!(shape(&[1, 1], &[]).unwrap(), [0; 0]);
        assert_eq!(shape(&[0, 3], &[0, 5]).unwrap(), [0, 5]);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for wanted in [
            &[5, -1][..],
            &[-1, -1],
            &[-2, 3],
            &[4, 4],
            &[1, 2, 3, 0],
            &[i64::MAX, 2],
        ] {
            let refused = shape(&[2, 3, 4], wanted);
            assert!(matches!(refused, Err(OpError::Content { .. })), "{wanted:?}");
        }
        assert!(shape(&[0, 3], &[0, -1]).is_err());
        let data_dependent = [Some(Fact::float([2])), Some(Fact::new(Kind::Int, [1]))];
        assert!(matches!(
            infer_op("Reshape", 14, &[], &data_dependent),
            Err(OpError::NotConstant { .. })
        ));
        let floats = [Some(Fact::float([2])), Some(Fact::known(floats(&[1], &[2.0])))];
        assert!(matches!(
            infer_op("Reshape", 14, &[], &floats),
            Err(OpError::Kind { .. })
        ));
    }

    #[test]
    fn a_shape_computed_from_the_batch_follows_it() {
        // What PyTorch exports for x.reshape(x.shape[0], -1).
        let mut builder = GraphBuilder::new("flat", 0);
        let x = builder.input("x", &[2, 3]);
        let shape = builder.node("shape", "Shape", &[&x], []).unwrap();
        let zero = builder.store(
            "zero",
            Role::Constant,
            TensorData::new(vec![0i64], Vec::<usize>::new()),
        );
        let batch = builder.node("batch", "Gather", &[&shape, &zero], []).unwrap();
        let axes = builder.ints("axes", &[0]);
        let batch = builder.node("vector", "Unsqueeze", &[&batch, &axes], []).unwrap();
        let rest = builder.ints("rest", &[-1]);
        let joined = builder
            .node("joined", "Concat", &[&batch, &rest], [("axis", 0.into())])
            .unwrap();
        let flat = builder.node("flat", "Reshape", &[&x, &joined], []).unwrap();
        builder.output("y", &flat).unwrap();
        let network = Network::new(builder.finish().unwrap(), &Device::flex()).unwrap();
        let outputs = network
            .forward(ramp(&[4, 2, 3], 0.0, 1.0), &[], Mode::Inference)
            .unwrap();
        assert_eq!(outputs.get("y").unwrap().dims(), [4, 6]);
    }

    #[test]
    fn allowzero_means_what_it_says() {
        let inputs = [Some(ints(&[0, 3], &[])), Some(ints(&[2], &[7, 0]))];
        let made = run_op("Reshape", 14, &[("allowzero", 1.into())], &inputs).unwrap();
        assert_ints(&made[0], &[7, 0], &[]);
    }

    #[test]
    fn the_gradient_comes_back_in_the_old_shape() {
        let inputs = [Some(ramp(&[2, 3], 0.0, 1.0)), Some(ints(&[1], &[-1]))];
        assert_gradients("Reshape", 14, &[], &inputs, &[0]);
    }
}
