//! `Range`: numbers from `start` to `limit` in steps of `delta`.
//! <https://onnx.ai/onnx/operators/onnx__Range.html>
//!
//! max(⌈(limit − start) / delta⌉, 0) numbers. Opset 11 introduced it; the form never changed. The
//! three inputs must follow from shapes and constants, for they make the output's extent.

use burn::tensor::TensorData;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, element_count};
use crate::value::{Kind, Value};

/// Evenly spaced numbers.
#[derive(Clone, Copy, Debug)]
pub struct Range;

/// Names of the inputs.
const NAMES: [&str; 3] = ["start", "limit", "delta"];

/// What is asked for, before there is room for it.
struct Asked {
    count: usize,
    spaced: Spaced,
}

/// Where the numbers start, and how far each is from the next.
enum Spaced {
    Ints { start: i64, delta: i64 },
    Floats { start: f32, delta: f32 },
}

impl Asked {
    fn read(inputs: [&Value; 3]) -> Result<Self, OpError> {
        let refuse = |name: &'static str, got: String, expected: &str| OpError::Content {
            name,
            got,
            expected: expected.to_owned(),
        };
        let still = || refuse("delta", "0".to_owned(), "a step up or down");
        let checked = |count: f64| {
            // Also false for NaN.
            let count = if count >= 0.0 { count } else { 0.0 };
            element_count(&[count as usize]).ok_or_else(|| {
                let got = format!("{count} numbers before it");
                refuse("limit", got, "a range that fits into memory")
            })
        };
        let ints: Vec<i64> = inputs.iter().filter_map(|x| x.to_ints()).flatten().collect();
        if let [start, limit, delta] = ints[..] {
            if delta == 0 {
                return Err(still());
            }
            // 128 bits hold the difference of any two integers.
            let span = i128::from(limit) - i128::from(start);
            let delta_wide = i128::from(delta);
            // Division cuts towards zero: what is left over counts if it lies in the direction of
            // the step.
            let left_over = (span % delta_wide).signum() == delta_wide.signum();
            let count = span / delta_wide + i128::from(left_over);
            return Ok(Self {
                count: checked(count as f64)?,
                spaced: Spaced::Ints { start, delta },
            });
        }
        let floats: Vec<f32> = inputs.iter().filter_map(|x| x.to_floats()).flatten().collect();
        let [start, limit, delta] = floats[..] else {
            return Err(OpError::Kind {
                name: "limit",
                expected: inputs[0].kind(),
                got: inputs[1].kind(),
            });
        };
        if delta == 0.0 {
            return Err(still());
        }
        Ok(Self {
            count: checked(((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil())?,
            spaced: Spaced::Floats { start, delta },
        })
    }

    /// The numbers, on the host.
    fn numbers(self) -> TensorData {
        match self.spaced {
            Spaced::Ints { start, delta } => {
                let number = |i: i64| start.wrapping_add(i.wrapping_mul(delta));
                let numbers: Vec<i64> = (0..self.count as i64).map(number).collect();
                TensorData::new(numbers, [self.count])
            }
            Spaced::Floats { start, delta } => {
                let numbers: Vec<f32> = (0..self.count).map(|i| start + i as f32 * delta).collect();
                TensorData::new(numbers, [self.count])
            }
        }
    }
}

impl Op for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let start = inputs.required(0, "start")?;
        if start.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "start",
                expected: Kind::Int,
                got: start.kind,
            });
        }
        let known = |index: usize| {
            let name = NAMES[index];
            let fact = inputs.of_kind(index, name, start.kind)?;
            if fact.len() != 1 {
                return Err(OpError::Shape {
                    name,
                    got: fact.dims.clone(),
                    expected: "a scalar".to_owned(),
                });
            }
            fact.value.as_ref().ok_or(OpError::NotConstant { name })
        };
        let asked = Asked::read([known(0)?, known(1)?, known(2)?])?;
        Ok(vec![Fact::new(start.kind, [asked.count])])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let input = |index: usize| inputs.required(index, NAMES[index]);
        let asked = Asked::read([input(0)?, input(1)?, input(2)?])?;
        let values = Value::from_data(asked.numbers(), &burn::tensor::Device::flex());
        Ok(vec![if values.kind() == Kind::Float {
            values.to_device(&context.device)
        } else {
            values
        }])
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Range))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Range",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, floats, infer_op, ints, run_op};
    use super::*;

    fn int_range(start: i64, limit: i64, delta: i64) -> Result<Vec<i64>, OpError> {
        let inputs = [start, limit, delta].map(|x| Some(ints(&[], &[x])));
        Ok(run_op("Range", 11, &[], &inputs)?[0].to_ints().unwrap())
    }

    #[test]
    fn integers_count_up_and_down() {
        // list(range(start, limit, delta))
        assert_eq!(int_range(0, 5, 2).unwrap(), [0, 2, 4]);
        assert_eq!(int_range(5, 0, -2).unwrap(), [5, 3, 1]);
        assert_eq!(int_range(5, 1, -2).unwrap(), [5, 3]);
        assert_eq!(int_range(0, 4, 2).unwrap(), [0, 2]);
        assert_eq!(int_range(3, 3, 1).unwrap(), [0; 0]);
        assert_eq!(int_range(5, 0, 2).unwrap(), [0; 0]);
        let wide = int_range(i64::MIN, i64::MAX, 1 << 62).unwrap();
        assert_eq!(wide, [i64::MIN, -(1 << 62), 0, 1 << 62]);
    }

    #[test]
    fn floats_are_spaced_evenly() {
        // np.arange(1.0, 2.1, 0.5, dtype=np.float32)
        let inputs = [1.0, 2.1, 0.5].map(|x| Some(floats(&[], &[x])));
        let made = run_op("Range", 11, &[], &inputs).unwrap();
        assert_floats(&made[0], &[3], &[1.0, 1.5, 2.0]);
    }

    #[test]
    fn a_shape_is_inferred_without_the_numbers() {
        // As numbers they would take 16 GiB.
        let inputs = [0, 1 << 31, 1].map(|x| Some(Fact::known(ints(&[], &[x]))));
        assert_eq!(infer_op("Range", 11, &[], &inputs).unwrap()[0].dims, [1 << 31]);
    }

    #[test]
    fn endless_ranges_are_refused() {
        for (start, limit, delta) in [(0, 1, 0), (i64::MIN, i64::MAX, 1)] {
            assert!(matches!(
                int_range(start, limit, delta),
                Err(OpError::Content { .. })
            ));
        }
        let unknown = Some(Fact::new(Kind::Int, []));
        let one = Some(Fact::known(ints(&[], &[1])));
        assert!(matches!(
            infer_op("Range", 11, &[], &[one.clone(), unknown, one]),
            Err(OpError::NotConstant { name: "limit" })
        ));
    }
}
