//! An operator of two operands as ONNX had them before opset 7: the second's axes stand beside the
//! first's from a given one on, `[channels]` beside `[batch, channels, height, width]` with
//! `axis = 1`, where NumPy's broadcasting would align the last ones.

use crate::op::{Fact, Inputs, Op, OpError, Role, RunContext};
use crate::value::Value;

/// An operator whose second operand begins at an axis of the first.
#[derive(Clone, Debug)]
pub struct Aligned {
    op: Box<dyn Op>,
    axis: usize,
}

impl Aligned {
    /// The operator, and the axis at which the second operand begins.
    pub fn new(op: Box<dyn Op>, axis: usize) -> Self {
        Self { op, axis }
    }

    /// The extents of the second operand with those of 1 behind them that NumPy wants.
    fn extents(&self, rank: usize, second: &[usize]) -> Result<Vec<usize>, OpError> {
        let behind = rank.checked_sub(self.axis + second.len());
        let behind = behind.ok_or_else(|| OpError::Shape {
            name: "B",
            got: second.to_vec(),
            expected: format!(
                "at most {} axes from axis {} on",
                rank.saturating_sub(self.axis),
                self.axis
            ),
        })?;
        let ones = std::iter::repeat_n(1, behind);
        Ok(second.iter().copied().chain(ones).collect())
    }
}

impl Op for Aligned {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.required(0, "A")?, inputs.required(1, "B")?);
        let b = Fact::new(b.kind, self.extents(a.dims.len(), &b.dims)?);
        self.op.infer(&Inputs(&[Some(a.clone()), Some(b)]))
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b) = (inputs.required(0, "A")?, inputs.required(1, "B")?);
        let b = b.clone().reshape(&self.extents(a.dims().len(), &b.dims())?);
        self.op.run(&Inputs(&[Some(a.clone()), Some(b)]), context)
    }

    fn role(&self, input: usize) -> Role {
        self.op.role(input)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, floats};
    use super::*;
    use crate::op::Mode;
    use crate::ops::binary::{Arithmetic, Binary};
    use crate::precision::Precision;
    use burn::tensor::Device;

    #[test]
    fn a_bias_is_added_to_the_channels() {
        // np.ones([1, 2, 1, 3]) + np.float32([10, 20])[:, None, None]
        let op = Aligned::new(Box::new(Binary(Arithmetic::Add)), 1);
        let inputs = [
            Some(floats(&[1, 2, 1, 3], &[1.0; 6])),
            Some(floats(&[2], &[10.0, 20.0])),
        ];
        let context = RunContext {
            mode: Mode::Inference,
            device: Device::flex(),
            precision: Precision::Fp32,
        };
        let made = op.run(&Inputs(&inputs), &context).unwrap();
        assert_floats(&made[0], &[1, 2, 1, 3], &[11.0, 11.0, 11.0, 21.0, 21.0, 21.0]);
        let facts = [Some(Fact::float([2])), Some(Fact::float([2, 3]))];
        assert!(op.infer(&Inputs(&facts)).is_err());
    }
}
