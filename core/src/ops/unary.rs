//! Elementwise functions of one input without attributes: `Neg`, `Abs`, `Sign`, `Not` and the
//! functions of a calculator. <https://onnx.ai/onnx/operators/onnx__Exp.html>
//!
//! Opset 13 adds bfloat16 to all of them; the form never changed. `Neg`, `Abs` and `Sign` take
//! integers too, `Not` takes booleans, the others floats alone. `Round` rounds halves to the even
//! neighbour.

use burn::tensor::Tensor;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Function {
    Neg,
    Abs,
    Sign,
    Not,
    Sqrt,
    Exp,
    Log,
    Reciprocal,
    Floor,
    Ceil,
    Round,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
}

/// An elementwise function.
#[derive(Clone, Copy, Debug)]
pub struct Unary(pub Function);

/// All functions with ONNX's names.
const FUNCTIONS: &[(&str, Function)] = &[
    ("Neg", Function::Neg),
    ("Abs", Function::Abs),
    ("Sign", Function::Sign),
    ("Not", Function::Not),
    ("Sqrt", Function::Sqrt),
    ("Exp", Function::Exp),
    ("Log", Function::Log),
    ("Reciprocal", Function::Reciprocal),
    ("Floor", Function::Floor),
    ("Ceil", Function::Ceil),
    ("Round", Function::Round),
    ("Sin", Function::Sin),
    ("Cos", Function::Cos),
    ("Tan", Function::Tan),
    ("Asin", Function::Asin),
    ("Acos", Function::Acos),
    ("Atan", Function::Atan),
    ("Sinh", Function::Sinh),
    ("Cosh", Function::Cosh),
    ("Asinh", Function::Asinh),
    ("Acosh", Function::Acosh),
    ("Atanh", Function::Atanh),
    ("Erf", Function::Erf),
];

impl Op for Unary {
    fn name(&self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|(_, function)| *function == self.0)
            .map_or("", |(name, _)| name)
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "X")?;
        let (expected, ints) = match self.0 {
            Function::Not => (Kind::Bool, false),
            Function::Neg | Function::Abs | Function::Sign => (Kind::Float, true),
            _ => (Kind::Float, false),
        };
        if x.kind != expected && !(ints && x.kind == Kind::Int) {
            return Err(OpError::Kind {
                name: "X",
                expected,
                got: x.kind,
            });
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let function: fn(Tensor<1>) -> Tensor<1> = match (self.0, x.kind()) {
            (Function::Not, _) => {
                let scalar = x.is_scalar();
                return Ok(vec![Value::from(x.bool::<1>().bool_not()).scalar_if(scalar)]);
            }
            (Function::Neg, Kind::Int) => return Ok(vec![x.elementwise_int(|x| -x)]),
            (Function::Abs, Kind::Int) => return Ok(vec![x.elementwise_int(|x| x.abs())]),
            (Function::Sign, Kind::Int) => return Ok(vec![x.elementwise_int(|x| x.sign())]),
            (Function::Neg, _) => |x| -x,
            (Function::Abs, _) => |x| x.abs(),
            (Function::Sign, _) => |x| x.sign(),
            (Function::Sqrt, _) => |x| x.sqrt(),
            (Function::Exp, _) => |x| x.exp(),
            (Function::Log, _) => |x| x.log(),
            (Function::Reciprocal, _) => |x| x.recip(),
            (Function::Floor, _) => |x| x.floor(),
            (Function::Ceil, _) => |x| x.ceil(),
            (Function::Round, _) => |x| x.round(),
            (Function::Sin, _) => |x| x.sin(),
            (Function::Cos, _) => |x| x.cos(),
            (Function::Tan, _) => |x| x.tan(),
            (Function::Asin, _) => |x| x.asin(),
            (Function::Acos, _) => |x| x.acos(),
            (Function::Atan, _) => |x| x.atan(),
            (Function::Sinh, _) => |x| x.sinh(),
            (Function::Cosh, _) => |x| x.cosh(),
            (Function::Asinh, _) => |x| x.asinh(),
            (Function::Acosh, _) => |x| x.acosh(),
            (Function::Atanh, _) => |x| x.atanh(),
            (Function::Erf, _) => |x| x.erf(),
        };
        Ok(vec![x.elementwise(function)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let function = FUNCTIONS.iter().find(|(name, _)| *name == node.op);
    let (_, function) = function.ok_or_else(|| OpError::Unsupported {
        what: format!("function `{}`", node.op),
    })?;
    Ok(Box::new(Unary(*function)))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    entry("Neg"),
    entry("Abs"),
    entry("Sign"),
    entry("Not"),
    entry("Sqrt"),
    entry("Exp"),
    entry("Log"),
    entry("Reciprocal"),
    entry("Floor"),
    entry("Ceil"),
    entry("Round"),
    entry("Sin"),
    entry("Cos"),
    entry("Tan"),
    entry("Asin"),
    entry("Acos"),
    entry("Atan"),
    entry("Sinh"),
    entry("Cosh"),
    entry("Asinh"),
    entry("Acosh"),
    entry("Atanh"),
    entry("Erf"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, floats, ints, run_op};
    use super::*;

    #[test]
    fn functions_agree_with_numpy() {
        // np.sqrt, np.exp, … of np.float32([[0.3, 1.7]]); erf: scipy.special.erf
        let x = floats(&[1, 2], &[0.3, 1.7]);
        for (op, expected) in [
            ("Neg", [-0.3, -1.7]),
            ("Sqrt", [0.547_722_6, 1.303_840_5]),
            ("Exp", [1.349_858_8, 5.473_947_5]),
            ("Log", [-1.203_972_8, 0.530_628_3]),
            ("Reciprocal", [3.333_333_3, 0.588_235_3]),
            ("Sin", [0.295_520_2, 0.991_664_8]),
            ("Cos", [0.955_336_5, -0.128_844_5]),
            ("Tan", [0.309_336_25, -7.696_602]),
            ("Erf", [0.328_626_76, 0.983_790_5]),
        ] {
            let made = run_op(op, 13, &[], &[Some(x.clone())]).unwrap();
            assert_floats(&made[0], &[1, 2], &expected);
            if op != "Tan" {
                assert_gradients(op, 13, &[], &[Some(x.clone())], &[0]);
            }
        }
    }

    #[test]
    fn inverse_and_hyperbolic_functions_agree_with_numpy() {
        // np.arcsin, np.arccos, … of np.float32([-0.3, 0.6]), np.arccosh of np.float32([1.3, 2.6])
        let x = floats(&[2], &[-0.3, 0.6]);
        for (op, expected) in [
            ("Asin", [-0.304_692_65, 0.643_501_1]),
            ("Acos", [1.875_489, 0.927_295_2]),
            ("Atan", [-0.291_456_8, 0.540_419_5]),
            ("Sinh", [-0.304_520_3, 0.636_653_6]),
            ("Cosh", [1.045_338_5, 1.185_465_2]),
            ("Asinh", [-0.295_673_05, 0.568_824_9]),
            ("Atanh", [-0.309_519_6, std::f32::consts::LN_2]),
        ] {
            let made = run_op(op, 13, &[], &[Some(x.clone())]).unwrap();
            assert_floats(&made[0], &[2], &expected);
            assert_gradients(op, 13, &[], &[Some(x.clone())], &[0]);
        }
        let x = floats(&[2], &[1.3, 2.6]);
        let made = run_op("Acosh", 13, &[], &[Some(x.clone())]).unwrap();
        assert_floats(&made[0], &[2], &[0.756_433, 1.609_438]);
        assert_gradients("Acosh", 13, &[], &[Some(x)], &[0]);
    }

    #[test]
    fn halves_round_to_even() {
        // np.round([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.6])
        let x = floats(&[7], &[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.6]);
        let made = run_op("Round", 11, &[], &[Some(x)]).unwrap();
        assert_floats(&made[0], &[7], &[-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn integers_and_booleans_where_onnx_allows_them() {
        let x = ints(&[3], &[-3, 0, 5]);
        for (op, expected) in [("Neg", [3, 0, -5]), ("Abs", [3, 0, 5]), ("Sign", [-1, 0, 1])] {
            let made = run_op(op, 13, &[], &[Some(x.clone())]).unwrap();
            assert_ints(&made[0], &[3], &expected);
        }
        let made = run_op("Not", 13, &[], &[Some(bools(&[], &[true]))]).unwrap();
        assert_ints(&made[0], &[], &[0]);
        assert!(matches!(
            run_op("Exp", 13, &[], &[Some(x)]),
            Err(OpError::Kind { .. })
        ));
    }

    #[test]
    fn scalars_and_tensors_without_elements_pass() {
        for (op, _) in FUNCTIONS.iter().filter(|(op, _)| *op != "Not") {
            let scalar = run_op(op, 13, &[], &[Some(floats(&[], &[0.5]))]).unwrap();
            assert_eq!(scalar[0].rank(), 0);
            let empty = run_op(op, 13, &[], &[Some(floats(&[2, 0], &[]))]).unwrap();
            assert_eq!(empty[0].dims(), [2, 0]);
        }
    }
}
