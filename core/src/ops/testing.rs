//! What the operators' tests share: a node read, inferred and run on the CPU, and its gradient held
//! against finite differences.
//!
//! Inputs are written as `[Some(floats(&[2, 3], &[…])), None, …]`; in inference every one of them
//! counts as known.

use burn::tensor::{Device, Tensor, TensorData};

use super::table;
use crate::op::{Attribute, Attributes, Fact, Inputs, Mode, Op, OpError, RunContext};
use crate::value::{Kind, Value};

/// Attributes as tests write them: `&[("axis", 1.into())]`.
pub(crate) type Written<'a> = &'a [(&'static str, Attribute)];

/// A float value on the CPU.
pub(crate) fn floats(dims: &[usize], values: &[f32]) -> Value {
    Value::from_data(TensorData::new(values.to_vec(), dims.to_vec()), &Device::flex())
}

/// An integer value on the CPU.
pub(crate) fn ints(dims: &[usize], values: &[i64]) -> Value {
    Value::ints(values.to_vec(), dims)
}

/// A boolean value on the CPU.
pub(crate) fn bools(dims: &[usize], values: &[bool]) -> Value {
    Value::from_data(TensorData::new(values.to_vec(), dims.to_vec()), &Device::flex())
}

/// The value 0, 1, 2, … · `step` + `start`; `np.arange(n) * step + start` in the comments that name
/// an expectation's source.
pub(crate) fn ramp(dims: &[usize], start: f32, step: f32) -> Value {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count).map(|i| i as f32 * step + start).collect();
    floats(dims, &values)
}

/// The value `np.sin(np.arange(n) * step + start)`: no two neighbours alike, no kinks met by
/// accident.
pub(crate) fn waves(dims: &[usize], start: f32, step: f32) -> Value {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * step + start).sin()).collect();
    floats(dims, &values)
}

/// Reads a node with one output.
pub(crate) fn read_op(
    op: &str,
    opset: i64,
    attributes: Written<'_>,
    inputs: usize,
) -> Result<Box<dyn Op>, OpError> {
    let attributes: Attributes = attributes
        .iter()
        .map(|(name, attribute)| ((*name).to_owned(), attribute.clone()))
        .collect();
    match table::read(op, opset, inputs, 1, &attributes) {
        Some(read) => read,
        None => panic!("`{op}` is not in the table"),
    }
}

/// Infers a node's outputs from facts.
pub(crate) fn infer_op(
    op: &str,
    opset: i64,
    attributes: Written<'_>,
    inputs: &[Option<Fact>],
) -> Result<Vec<Fact>, OpError> {
    read_op(op, opset, attributes, inputs.len())?.infer(&Inputs(inputs))
}

/// Runs a node in inference; kinds and shapes must be those that were inferred.
pub(crate) fn run_op(
    op: &str,
    opset: i64,
    attributes: Written<'_>,
    inputs: &[Option<Value>],
) -> Result<Vec<Value>, OpError> {
    run_op_in(Mode::Inference, op, opset, attributes, inputs)
}

/// Runs a node in a mode; kinds and shapes must be those that were inferred.
pub(crate) fn run_op_in(
    mode: Mode,
    op: &str,
    opset: i64,
    attributes: Written<'_>,
    inputs: &[Option<Value>],
) -> Result<Vec<Value>, OpError> {
    let node = read_op(op, opset, attributes, inputs.len())?;
    let facts: Vec<Option<Fact>> = inputs
        .iter()
        .map(|input| input.clone().map(Fact::known))
        .collect();
    let inferred = node.infer(&Inputs(&facts))?;
    let context = RunContext {
        mode,
        device: Device::flex(),
        precision: crate::precision::Precision::Fp32,
    };
    let values = node.run(&Inputs(inputs), &context)?;
    assert_eq!(
        inferred.len(),
        values.len(),
        "`{op}` infers and makes other outputs"
    );
    for (fact, value) in inferred.iter().zip(&values) {
        assert_eq!(
            fact.kind,
            value.kind(),
            "`{op}` infers another kind than it makes"
        );
        assert_eq!(
            fact.dims,
            value.dims(),
            "`{op}` infers another shape than it makes"
        );
    }
    Ok(values)
}

/// Fails unless a float value has this shape and these elements, to `1e-5` of the larger of 1 and
/// their size.
#[track_caller]
pub(crate) fn assert_floats(value: &Value, dims: &[usize], expected: &[f32]) {
    assert_eq!(value.dims(), dims);
    let got = value.to_floats().unwrap_or_default();
    assert_eq!(got.len(), expected.len());
    for (i, (got_one, expected_one)) in got.iter().zip(expected).enumerate() {
        let close = (got_one - expected_one).abs() <= 1e-5 * expected_one.abs().max(1.0);
        assert!(
            close || got_one == expected_one,
            "element {i} is {got_one}, expected {expected_one}; all: {got:?}"
        );
    }
}

/// Fails unless an integer or boolean value has this shape and these elements.
#[track_caller]
pub(crate) fn assert_ints(value: &Value, dims: &[usize], expected: &[i64]) {
    assert_eq!(value.dims(), dims);
    assert_eq!(value.to_ints().as_deref(), Some(expected));
}

/// Distance of the points of a finite difference: in `f32`, near the cube root of the rounding
/// error.
const STEP: f32 = 1e-2;

/// Fails unless the gradient of Σ w · output 0 (w fixed, uneven) with respect to the inputs named
/// by `differentiable` agrees with central differences to 1 %. The inputs must keep farther than
/// [`STEP`] from kinks.
#[track_caller]
pub(crate) fn assert_gradients(
    op: &str,
    opset: i64,
    attributes: Written<'_>,
    inputs: &[Option<Value>],
    differentiable: &[usize],
) {
    let node = match read_op(op, opset, attributes, inputs.len()) {
        Ok(node) => node,
        Err(error) => panic!("`{op}` cannot be read: {error}"),
    };
    let run = |inputs: &[Option<Value>], device: &Device| {
        let context = RunContext {
            mode: Mode::Inference,
            device: device.clone(),
            precision: crate::precision::Precision::Fp32,
        };
        match node.run(&Inputs(inputs), &context) {
            Ok(mut values) => values.remove(0),
            Err(error) => panic!("`{op}` cannot run: {error}"),
        }
    };
    let projected = |inputs: &[Option<Value>]| -> f64 {
        let output = run(inputs, &Device::flex()).to_floats().unwrap_or_default();
        output
            .iter()
            .zip(projection())
            .map(|(y, w)| f64::from(*y) * f64::from(w))
            .sum()
    };

    let device = Device::flex().autodiff();
    let leaves: Vec<Option<Value>> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| {
            let input = input.clone()?;
            if input.kind() != Kind::Float {
                return Some(input);
            }
            let scalar = input.is_scalar();
            let leaf = Value::from_data(input.into_data(), &device);
            if !differentiable.contains(&i) {
                return Some(leaf);
            }
            let leaf = Value::from(leaf.float::<1>().require_grad());
            Some(if scalar { leaf.into_scalar() } else { leaf })
        })
        .collect();
    let output = run(&leaves, &device);
    let count = output.len();
    let output: Tensor<1> = output.reshape(&[count]).float();
    let weights: Vec<f32> = projection().take(count).collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [count]), &device);
    let gradients = (output * weights).sum().backward();

    for &input in differentiable {
        let (Some(leaf), Some(value)) = (leaves[input].clone(), inputs[input].clone()) else {
            panic!("input {input} is absent");
        };
        let gradient = leaf.float::<1>().grad(&gradients);
        let Some(gradient) = gradient.and_then(|gradient| Value::from(gradient).to_floats()) else {
            panic!("`{op}` gives input {input} no gradient");
        };
        let (dims, elements) = (value.dims(), value.to_floats().unwrap_or_default());
        for (i, gradient) in gradient.iter().enumerate() {
            let at = |shift: f32| {
                let mut moved = elements.clone();
                moved[i] += shift;
                let mut inputs = inputs.to_vec();
                inputs[input] = Some(floats(&dims, &moved));
                projected(&inputs)
            };
            let difference = ((at(STEP) - at(-STEP)) / f64::from(2.0 * STEP)) as f32;
            assert!(
                (gradient - difference).abs() <= 1e-2 * difference.abs().max(1.0),
                "`{op}`: input {input}, element {i}: gradient {gradient}, finite difference {difference}"
            );
        }
    }
}

/// The weights of the projection: between 0.5 and 1.5, no two neighbours alike.
fn projection() -> impl Iterator<Item = f32> {
    (0..).map(|i: u32| 1.0 + 0.5 * (1.7 * i as f32 + 0.3).sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_runs_and_its_gradient_is_checked() {
        let inputs = [Some(floats(&[2], &[1.0, 2.0])), Some(floats(&[2], &[3.0, 4.0]))];
        let made = run_op("Mul", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2], &[3.0, 8.0]);
        assert_gradients("Mul", 13, &[], &inputs, &[0, 1]);
    }

    #[test]
    #[should_panic(expected = "element 1 is 8")]
    fn a_wrong_element_fails() {
        let inputs = [Some(floats(&[2], &[1.0, 2.0])), Some(floats(&[2], &[3.0, 4.0]))];
        let made = run_op("Mul", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2], &[3.0, 8.1]);
    }
}
