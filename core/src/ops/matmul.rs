//! `MatMul`: the product of matrices, or of stacks of them, by the rules of `numpy.matmul`.
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html>
//!
//! A vector on the left is a row, on the right a column, and its axis of extent 1 is dropped from
//! the result; axes before the last two broadcast. Opset 9 added integers, 13 bfloat16; integers
//! are refused.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast, work};
use crate::value::Value;

/// Matrix product with broadcasting.
#[derive(Clone, Debug)]
pub struct MatMul;

/// The extents of one product.
#[derive(Debug)]
struct Product {
    /// Both sides with vectors raised to matrices.
    a: Vec<usize>,
    b: Vec<usize>,
    /// The result.
    y: Vec<usize>,
}

impl Product {
    fn new(a: &[usize], b: &[usize]) -> Result<Self, OpError> {
        let refuse = |name: &'static str, got: &[usize], expected: String| OpError::Shape {
            name,
            got: got.to_vec(),
            expected,
        };
        let (row, column) = match (a, b) {
            ([], _) => return Err(refuse("A", a, "at least one axis".to_owned())),
            (_, []) => return Err(refuse("B", b, "at least one axis".to_owned())),
            _ => (a.len() == 1, b.len() == 1),
        };
        let raised_a = if row { vec![1, a[0]] } else { a.to_vec() };
        let raised_b = if column { vec![b[0], 1] } else { b.to_vec() };
        let (batch_a, [m, k]) = split(&raised_a);
        let (batch_b, [inner, n]) = split(&raised_b);
        if k != inner {
            return Err(refuse(
                "B",
                b,
                format!("{k} elements along the axis that meets A"),
            ));
        }
        let mut y = broadcast(batch_a, batch_b)?;
        if !row {
            y.push(m);
        }
        if !column {
            y.push(n);
        }
        Ok(Self {
            a: raised_a,
            b: raised_b,
            y,
        })
    }
}

/// The stack's extents and the matrix's.
fn split(dims: &[usize]) -> (&[usize], [usize; 2]) {
    let (batch, matrix) = dims.split_at(dims.len() - 2);
    (batch, [matrix[0], matrix[1]])
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.filled(0, "A")?, inputs.filled(1, "B")?);
        Ok(vec![Fact::float(Product::new(&a.dims, &b.dims)?.y)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b) = (inputs.required(0, "A")?.clone(), inputs.required(1, "B")?.clone());
        let product = Product::new(&a.dims(), &b.dims())?;
        let (a_dims, b_dims) = if product.b.len() == 2 {
            // One matrix on the right: the stack on the left is one tall matrix, and B's gradient
            // needs no sum over the stack.
            let columns = product.b[0];
            (
                vec![product.a.iter().product::<usize>() / columns, columns],
                product.b,
            )
        } else {
            let rank = product.a.len().max(product.b.len());
            let raise = |dims: Vec<usize>| {
                let mut raised = vec![1; rank - dims.len()];
                raised.extend(dims);
                raised
            };
            (raise(product.a), raise(product.b))
        };
        let a = a.reshape(&a_dims).into_dispatch();
        let b = b.reshape(&b_dims).into_dispatch();
        Ok(vec![Value::new(Dispatch::float_matmul(a, b)).reshape(&product.y)])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, outputs: &[Fact]) -> u64 {
        let inner = inputs
            .optional(0)
            .and_then(|a| a.dims.last().copied())
            .unwrap_or(0);
        outputs.first().map_or(0, |y| work([y.len(), inner]))
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(MatMul))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "MatMul",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, ramp, read_op, run_op, waves};

    fn product(a: &[usize], b: &[usize]) -> Value {
        let inputs = [Some(ramp(a, 0.0, 1.0)), Some(ramp(b, 1.0, 1.0))];
        run_op("MatMul", 13, &[], &inputs).unwrap().remove(0)
    }

    #[test]
    fn vectors_and_stacks_multiply_as_numpy_does() {
        // numpy.matmul(arange(prod(a)).reshape(a), arange(prod(b)).reshape(b) + 1)
        assert_floats(&product(&[3], &[3]), &[], &[8.0]);
        assert_floats(&product(&[2, 3], &[3]), &[2], &[8.0, 26.0]);
        assert_floats(&product(&[3], &[3, 2]), &[2], &[13.0, 16.0]);
        assert_floats(&product(&[2, 2], &[2, 2]), &[2, 2], &[3.0, 4.0, 11.0, 16.0]);
        assert_floats(&product(&[2, 1, 2], &[2, 2]), &[2, 1, 2], &[3.0, 4.0, 11.0, 16.0]);
        assert_floats(
            &product(&[2, 1, 1, 2], &[2, 2, 1]),
            &[2, 2, 1, 1],
            &[2.0, 4.0, 8.0, 18.0],
        );
        assert_floats(&product(&[2], &[2, 2, 1]), &[2, 1], &[2.0, 4.0]);
    }

    #[test]
    fn both_sides_have_gradients_in_every_form() {
        for (a, b) in [
            (&[3][..], &[3][..]),
            (&[2, 2, 3], &[3, 2]),
            (&[2, 3], &[2, 3, 2]),
            (&[2, 1, 2, 3], &[2, 3, 1]),
            (&[2, 3], &[3]),
        ] {
            let inputs = [Some(waves(a, 0.0, 0.7)), Some(waves(b, 0.3, 0.9))];
            assert_gradients("MatMul", 13, &[], &inputs, &[0, 1]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let inner = infer_op("MatMul", 13, &[], &[fact(&[2, 3]), fact(&[2, 3])]).unwrap_err();
        assert!(matches!(inner, OpError::Shape { name: "B", .. }), "{inner}");
        let scalar = infer_op("MatMul", 13, &[], &[fact(&[]), fact(&[2, 3])]).unwrap_err();
        assert!(matches!(scalar, OpError::Shape { name: "A", .. }), "{scalar}");
        let stack = infer_op("MatMul", 13, &[], &[fact(&[2, 3, 4]), fact(&[3, 4, 5])]).unwrap_err();
        assert!(matches!(stack, OpError::Broadcast { .. }), "{stack}");
        let empty = infer_op("MatMul", 13, &[], &[fact(&[2, 0]), fact(&[0, 5])]).unwrap_err();
        assert!(matches!(empty, OpError::Shape { .. }), "{empty}");
    }

    #[test]
    fn the_cost_counts_the_whole_stack() {
        let facts = [
            Some(Fact::float([4, 12, 50, 64])),
            Some(Fact::float([4, 12, 64, 50])),
        ];
        let node = read_op("MatMul", 13, &[], 2).unwrap();
        let made = node.infer(&Inputs(&facts)).unwrap();
        assert_eq!(node.cost(&Inputs(&facts), &made), 4 * 12 * 50 * 50 * 64);
    }
}
