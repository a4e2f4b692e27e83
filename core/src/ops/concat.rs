//! `Concat`: tensors joined along an axis. <https://onnx.ai/onnx/operators/onnx__Concat.html>
//!
//! Opset 11 allows a negative axis, 13 adds bfloat16; the form never changed.

use burn::tensor::Device;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, resolve_axis};
use crate::value::Value;

/// Joins tensors.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    /// The axis along which the tensors follow one another.
    pub axis: i64,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let first = inputs.required(0, "inputs")?;
        let axis = resolve_axis(self.axis, first.rank())?;
        let mut dims = first.dims.clone();
        dims[axis] = 0;
        for fact in inputs.present() {
            if fact.kind != first.kind {
                return Err(OpError::Kind {
                    name: "inputs",
                    expected: first.kind,
                    got: fact.kind,
                });
            }
            let fits = fact.rank() == first.rank()
                && (0..first.rank()).all(|other| other == axis || fact.dims[other] == first.dims[other]);
            if !fits {
                return Err(OpError::Shape {
                    name: "inputs",
                    got: fact.dims.clone(),
                    expected: format!("{:?} but for axis {axis}", first.dims),
                });
            }
            dims[axis] += fact.dims[axis];
        }
        Ok(vec![Fact::new(first.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let first = inputs.required(0, "inputs")?;
        let axis = resolve_axis(self.axis, first.rank())?;
        let mut parts: Vec<Value> = inputs
            .present()
            .filter(|value| !value.is_empty())
            .cloned()
            .collect();
        let home = Device::flex();
        // One part away from the CPU takes the others with it.
        if let Some(away) = parts.iter().map(Value::device).find(|device| *device != home) {
            parts = parts.into_iter().map(|part| part.to_device(&away)).collect();
        }
        Ok(vec![match parts.len() {
            0 => {
                let mut dims = first.dims();
                dims[axis] = inputs.present().map(|value| value.dims()[axis]).sum();
                Value::empty(first.kind(), &dims, &first.device())
            }
            1 => parts.remove(0),
            _ => Value::concat(parts, axis),
        }])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.required_int("axis")?;
    Ok(Box::new(Concat { axis }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Concat",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, run_op};
    use super::*;
    use crate::op::Mode;
    use burn::tensor::Tensor;

    #[test]
    fn tensors_follow_one_another() {
        // np.concatenate([[[1, 2]], [[3]]], axis=-1)
        let inputs = [Some(floats(&[1, 2], &[1.0, 2.0])), Some(floats(&[1, 1], &[3.0]))];
        let axis: &[_] = &[("axis", (-1).into())];
        let made = run_op("Concat", 13, axis, &inputs).unwrap();
        assert_floats(&made[0], &[1, 3], &[1.0, 2.0, 3.0]);
        assert_gradients("Concat", 13, axis, &inputs, &[0, 1]);
    }

    #[test]
    fn a_plain_tensor_joins_one_in_the_autodiff_graph() {
        let plain = floats(&[1], &[1.0]);
        let tracked = Tensor::<1>::from_floats([2.0], &Device::flex().autodiff()).require_grad();
        let inputs = [Some(plain), Some(tracked.clone().into())];
        let context = RunContext {
            mode: Mode::Inference,
            device: Device::flex().autodiff(),
            precision: crate::precision::Precision::Fp32,
        };
        let made = Concat { axis: 0 }.run(&Inputs(&inputs), &context).unwrap();
        let gradients = made[0].clone().float::<1>().powf_scalar(2.0).sum().backward();
        let gradient = tracked.grad(&gradients).unwrap();
        assert_floats(&gradient.into(), &[1], &[4.0]);
    }

    #[test]
    fn tensors_without_elements_add_nothing() {
        let axis: &[_] = &[("axis", 0.into())];
        let inputs = [
            Some(ints(&[0], &[])),
            Some(ints(&[2], &[3, 4])),
            Some(ints(&[0], &[])),
        ];
        assert_ints(&run_op("Concat", 13, axis, &inputs).unwrap()[0], &[2], &[3, 4]);
        let inputs = [Some(ints(&[0], &[])), Some(ints(&[0], &[]))];
        assert_ints(&run_op("Concat", 13, axis, &inputs).unwrap()[0], &[0], &[]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let axis: &[_] = &[("axis", 0.into())];
        let kinds = [Some(ints(&[1], &[1])), Some(floats(&[1], &[1.0]))];
        assert!(matches!(
            run_op("Concat", 13, axis, &kinds),
            Err(OpError::Kind { .. })
        ));
        let ranks = [Some(ints(&[1], &[1])), Some(ints(&[1, 1], &[1]))];
        assert!(matches!(
            run_op("Concat", 13, axis, &ranks),
            Err(OpError::Shape { .. })
        ));
        let scalars = [Some(ints(&[], &[1])), Some(ints(&[], &[1]))];
        assert!(matches!(
            run_op("Concat", 13, axis, &scalars),
            Err(OpError::Axis { .. })
        ));
        assert!(matches!(
            run_op("Concat", 13, &[], &scalars),
            Err(OpError::MissingAttribute { .. })
        ));
    }
}
