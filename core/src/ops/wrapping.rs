//! An operator on integers of less than 64 bits: it computes in 64, and what does not fit its type
//! wraps, as it does in ONNX Runtime.

use crate::op::{ElementType, Fact, Inputs, Op, OpError, Role, RunContext};
use crate::value::{Kind, Value};

/// An operator whose integers wrap.
#[derive(Clone, Debug)]
pub struct Wrapping {
    op: Box<dyn Op>,
    bits: u32,
    signed: bool,
}

impl Wrapping {
    /// The operator as one on this type, where the type has less than 64 bits of integers; else the
    /// operator itself.
    pub fn on(op: Box<dyn Op>, element: ElementType) -> Box<dyn Op> {
        let (bits, signed) = match element {
            ElementType::Uint8 => (8, false),
            ElementType::Uint16 => (16, false),
            ElementType::Uint32 => (32, false),
            ElementType::Int8 => (8, true),
            ElementType::Int16 => (16, true),
            ElementType::Int32 => (32, true),
            _ => return op,
        };
        Box::new(Self { op, bits, signed })
    }

    fn wrapped(&self, number: i64) -> i64 {
        let unused = 64 - self.bits;
        let shifted = number << unused;
        match self.signed {
            true => shifted >> unused,
            false => ((shifted as u64) >> unused) as i64,
        }
    }
}

impl Op for Wrapping {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        self.op.infer(inputs)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut made = self.op.run(inputs, context)?;
        if let Some(value) = made.first_mut().filter(|value| value.kind() == Kind::Int)
            && let Some(numbers) = value.to_ints()
            && numbers.iter().any(|number| self.wrapped(*number) != *number)
        {
            let wrapped = numbers.into_iter().map(|number| self.wrapped(number)).collect();
            *value = Value::ints(wrapped, &value.dims());
        }
        Ok(made)
    }

    fn role(&self, input: usize) -> Role {
        self.op.role(input)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, ints};
    use super::*;
    use crate::op::Mode;
    use crate::ops::binary::{Arithmetic, Binary};
    use crate::precision::Precision;
    use burn::tensor::Device;

    #[test]
    fn sums_wrap_at_the_ends_of_their_type() {
        // np.array([200, 250, 3], np.uint8) + np.uint8(100); np.array([100, -100], np.int8) * 3
        let context = RunContext {
            mode: Mode::Inference,
            device: Device::flex(),
            precision: Precision::Fp32,
        };
        let run = |arithmetic, element, a: Value, b: Value| {
            let op = Wrapping::on(Box::new(Binary(arithmetic)), element);
            op.run(&Inputs(&[Some(a), Some(b)]), &context).unwrap()
        };
        let sums = run(
            Arithmetic::Add,
            ElementType::Uint8,
            ints(&[3], &[200, 250, 3]),
            ints(&[1], &[100]),
        );
        assert_ints(&sums[0], &[3], &[44, 94, 103]);
        let products = run(
            Arithmetic::Mul,
            ElementType::Int8,
            ints(&[2], &[100, -100]),
            ints(&[1], &[3]),
        );
        assert_ints(&products[0], &[2], &[44, -44]);
    }
}
