//! `LSTM`, `GRU`, `RNN`: a layer that walks along a sequence.
//! <https://onnx.ai/onnx/operators/onnx__LSTM.html>
//!
//! With x the input at a step, h and c what the step before left, W, R, B the gates' weights and P
//! the peepholes:
//!
//! | operator | gates | step |
//! | --- | --- | --- |
//! | `RNN` | h | h ← f(Wx + Rh + B) |
//! | `GRU` | z, r, h | z, r ← f(Wx + Rh + B); h̃ ← g(Wx + R(r·h) + B), or with `linear_before_reset` g(Wx + r·(Rh + B_R) + B_W); h ← (1 − z)·h̃ + z·h |
//! | `LSTM` | i, o, f, c | i, f ← f(Wx + Rh + P·c + B); c ← f·c + i·g(Wx + Rh + B); o ← f(Wx + Rh + P·c + B); h ← o·h(c) |
//!
//! Hochreiter and Schmidhuber 1997 (LSTM), Cho et al. 2014 (arXiv 1406.1078, GRU). Opset 14 adds
//! `layout`. Sequences of different lengths, `clip`, `input_forget` and activations other than
//! Sigmoid, Tanh and Relu are refused.

mod walk;

use burn::tensor::{Device, Tensor};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, work};
use crate::value::{Kind, Value};
use walk::{Activation, Cell, Extents, Walk};

/// A recurrent layer.
#[derive(Clone, Debug)]
pub struct Recurrent {
    cell: Cell,
    /// For each direction whether it walks backwards.
    backwards: Vec<bool>,
    /// f, g, h of each direction.
    activations: Vec<Vec<Activation>>,
    hidden: Option<usize>,
    linear_before_reset: bool,
    /// Whether the batch comes before the sequence.
    batch_first: bool,
}

/// Positions of the inputs.
const LENGTHS: usize = 4;
const PEEPHOLES: usize = 7;

impl Recurrent {
    fn extents(&self, x: &[usize], recurrence: &[usize]) -> Result<Extents, OpError> {
        let (&[first, second, inputs], &[_, _, hidden]) = (x, recurrence) else {
            let (name, got) = if x.len() == 3 { ("R", recurrence) } else { ("X", x) };
            return Err(OpError::Shape {
                name,
                got: got.to_vec(),
                expected: "3 axes".to_owned(),
            });
        };
        let (steps, batch) = if self.batch_first {
            (second, first)
        } else {
            (first, second)
        };
        Ok(Extents {
            steps,
            batch,
            inputs,
            hidden,
        })
    }

    /// A shape of `[directions, batch, hidden]` in the layout.
    fn state(&self, of: Extents) -> Vec<usize> {
        let directions = self.backwards.len();
        if self.batch_first {
            vec![of.batch, directions, of.hidden]
        } else {
            vec![directions, of.batch, of.hidden]
        }
    }

    /// The first state of a direction, `[batch, hidden]`.
    fn initial(&self, given: Option<&Value>, direction: usize, of: Extents, device: &Device) -> Tensor<2> {
        match given {
            None => Tensor::zeros([of.batch, of.hidden], device),
            Some(value) => {
                let axis = usize::from(self.batch_first);
                let own = value.clone().narrow(axis, direction, direction + 1);
                own.reshape(&[of.batch, of.hidden]).float()
            }
        }
    }
}

impl Op for Recurrent {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Rnn => "RNN",
            Cell::Gru => "GRU",
            Cell::Lstm => "LSTM",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (x, r) = (inputs.filled(0, "X")?, inputs.filled(2, "R")?);
        let of = self.extents(&x.dims, &r.dims)?;
        let (directions, gates) = (self.backwards.len(), self.cell.gates() * of.hidden);
        let check = |index: usize, name: &'static str, expected: Vec<usize>| match inputs
            .optional_float(index, name)?
        {
            Some(fact) if fact.dims != expected => Err(OpError::Shape {
                name,
                got: fact.dims.clone(),
                expected: format!("{expected:?}"),
            }),
            _ => Ok(()),
        };
        inputs.of_kind(1, "W", Kind::Float)?;
        if let Some(stated) = self.hidden
            && stated != of.hidden
        {
            return Err(OpError::Shape {
                name: "R",
                got: r.dims.clone(),
                expected: format!("`hidden_size` {stated} along the last axis"),
            });
        }
        check(1, "W", vec![directions, gates, of.inputs])?;
        check(2, "R", vec![directions, gates, of.hidden])?;
        check(3, "B", vec![directions, 2 * gates])?;
        check(5, "initial_h", self.state(of))?;
        if self.cell == Cell::Lstm {
            check(6, "initial_c", self.state(of))?;
            check(PEEPHOLES, "P", vec![directions, 3 * of.hidden])?;
        }
        if inputs.optional(LENGTHS).is_some() {
            let lengths = inputs.known_ints(LENGTHS, "sequence_lens")?;
            if lengths.len() != of.batch || lengths.iter().any(|length| *length != of.steps as i64) {
                return Err(OpError::Unsupported {
                    what: format!("`sequence_lens` {lengths:?} of sequences of {} steps", of.steps),
                });
            }
        }
        let all = if self.batch_first {
            vec![of.batch, of.steps, directions, of.hidden]
        } else {
            vec![of.steps, directions, of.batch, of.hidden]
        };
        let mut facts = vec![Fact::float(all), Fact::float(self.state(of))];
        if self.cell == Cell::Lstm {
            facts.push(Fact::float(self.state(of)));
        }
        Ok(facts)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "X")?.clone();
        let (w, r) = (inputs.required(1, "W")?, inputs.required(2, "R")?);
        let of = self.extents(&x.dims(), &r.dims())?;
        if self.batch_first {
            x = x.permute(&[1, 0, 2]);
        }
        let x: Tensor<2> = x.reshape(&[of.steps * of.batch, of.inputs]).float();
        let device = x.device();
        let gates = self.cell.gates() * of.hidden;
        let (mut all, mut last_h, mut last_c) = (Vec::new(), Vec::new(), Vec::new());
        for (direction, backwards) in self.backwards.iter().enumerate() {
            let own = |value: &Value, dims: &[usize]| {
                value.clone().narrow(0, direction, direction + 1).reshape(dims)
            };
            let input: Tensor<2> = own(w, &[gates, of.inputs]).float();
            let recurrence: Tensor<2> = own(r, &[gates, of.hidden]).float();
            let bias: Option<Tensor<2>> = inputs.optional(3).map(|b| own(b, &[2, gates]).float());
            let peepholes: Option<Tensor<2>> = inputs
                .optional(PEEPHOLES)
                .map(|p| own(p, &[3, of.hidden]).float());
            let mut walk = Walk {
                cell: self.cell,
                linear_before_reset: self.linear_before_reset,
                activations: &self.activations[direction],
                fed: x.clone().matmul(input.transpose()),
                recurrence: recurrence.transpose(),
                bias_h: None,
                peepholes: peepholes.filter(|_| self.cell == Cell::Lstm),
                of,
            };
            if let Some(bias) = bias {
                walk.fed = walk.fed + bias.clone().narrow(0, 0, 1);
                walk.bias_h = Some(bias.narrow(0, 1, 1));
            }
            let mut h = self.initial(inputs.optional(5), direction, of, &device);
            let mut c = self.initial(inputs.optional(6), direction, of, &device);
            let mut states = Vec::with_capacity(of.steps);
            for at in 0..of.steps {
                let step = if *backwards { of.steps - 1 - at } else { at };
                (h, c) = walk.step(step, h, c);
                states.push(h.clone());
            }
            if *backwards {
                states.reverse();
            }
            // [steps, batch, hidden]
            all.push(Tensor::stack::<3>(states, 0));
            last_h.push(h);
            last_c.push(c);
        }
        // Y is [steps, directions, batch, hidden], the states are [directions, batch, hidden].
        let mut y = Value::from(Tensor::stack::<4>(all, 1));
        let states = [last_h, last_c].map(|states| Value::from(Tensor::stack::<3>(states, 0)));
        let [mut h, mut c] = states;
        if self.batch_first {
            y = y.permute(&[2, 0, 1, 3]);
            h = h.permute(&[1, 0, 2]);
            c = c.permute(&[1, 0, 2]);
        }
        let mut outputs = vec![y, h];
        if self.cell == Cell::Lstm {
            outputs.push(c);
        }
        Ok(outputs)
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, _outputs: &[Fact]) -> u64 {
        let dims = |index: usize| inputs.optional(index).map_or(&[][..], |fact| &fact.dims);
        let Ok(of) = self.extents(dims(0), dims(2)) else {
            return 0;
        };
        let gates = [self.cell.gates(), of.hidden, self.backwards.len()];
        work(
            [of.steps, of.batch, of.inputs + of.hidden]
                .into_iter()
                .chain(gates),
        )
    }

    fn role(&self, input: usize) -> Role {
        match input {
            1..=3 | PEEPHOLES => Role::Weight,
            _ => Role::Constant,
        }
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let cell = match node.op {
        "RNN" => Cell::Rnn,
        "GRU" => Cell::Gru,
        _ => Cell::Lstm,
    };
    let backwards = match node.text("direction")? {
        None | Some("forward") => vec![false],
        Some("reverse") => vec![true],
        Some("bidirectional") => vec![false, true],
        Some(other) => return Err(node.bad("direction", other, "forward, reverse or bidirectional")),
    };
    let defaults = cell.activations();
    let activations = match node.texts("activations")? {
        None => vec![defaults.to_vec(); backwards.len()],
        Some(names) => {
            let one = |name: &String| match name.to_ascii_lowercase().as_str() {
                "sigmoid" => Ok(Activation::Sigmoid),
                "tanh" => Ok(Activation::Tanh),
                "relu" => Ok(Activation::Relu),
                _ => Err(OpError::Unsupported {
                    what: format!("activation `{name}`"),
                }),
            };
            let all: Vec<Activation> = names.iter().map(one).collect::<Result<_, _>>()?;
            if all.len() != defaults.len() * backwards.len() {
                let expected = format!("{} names", defaults.len() * backwards.len());
                return Err(node.bad("activations", format!("{} names", all.len()), expected));
            }
            all.chunks(defaults.len()).map(<[_]>::to_vec).collect()
        }
    };
    if let Some(clip) = node.number("clip")? {
        return Err(OpError::Unsupported {
            what: format!("`clip = {clip}`"),
        });
    }
    if cell == Cell::Lstm && node.flag("input_forget", false)? {
        return Err(OpError::Unsupported {
            what: "`input_forget = 1`".to_owned(),
        });
    }
    let hidden = node.int("hidden_size")?;
    Ok(Box::new(Recurrent {
        cell,
        backwards,
        activations,
        hidden: hidden.and_then(|hidden| usize::try_from(hidden).ok()),
        linear_before_reset: cell == Cell::Gru && node.flag("linear_before_reset", false)?,
        batch_first: node.opset >= 14 && node.flag("layout", false)?,
    }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("LSTM"), entry("GRU"), entry("RNN")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradients, infer_op, ints, run_op, waves};
    use super::*;

    fn inputs(gates: usize, directions: usize) -> Vec<Option<Value>> {
        vec![
            Some(waves(&[3, 2, 2], 0.1, 0.7)),
            Some(waves(&[directions, gates * 2, 2], 0.3, 0.9)),
            Some(waves(&[directions, gates * 2, 2], 0.2, 0.5)),
            Some(waves(&[directions, gates * 4], 0.6, 0.8)),
        ]
    }

    #[test]
    fn every_cell_has_gradients_in_both_directions() {
        for (op, gates) in [("RNN", 1), ("GRU", 3), ("LSTM", 4)] {
            let size = ("hidden_size", 2.into());
            let both = [size.clone(), ("direction", "bidirectional".into())];
            assert_gradients(op, 14, &both, &inputs(gates, 2), &[0, 1, 2, 3]);
            let mut given = inputs(gates, 1);
            given.extend([None, Some(waves(&[1, 2, 2], 0.4, 0.6))]);
            assert_gradients(
                op,
                14,
                &[size, ("direction", "reverse".into())],
                &given,
                &[0, 1, 5],
            );
        }
        let reset = [("hidden_size", 2.into()), ("linear_before_reset", 1.into())];
        assert_gradients("GRU", 14, &reset, &inputs(3, 1), &[0, 1, 2, 3]);
        let mut peeping = inputs(4, 1);
        peeping.extend([
            None,
            None,
            Some(waves(&[1, 2, 2], 0.2, 0.3)),
            Some(waves(&[1, 6], 0.5, 0.4)),
        ]);
        assert_gradients("LSTM", 14, &[("hidden_size", 2.into())], &peeping, &[0, 2, 6, 7]);
    }

    #[test]
    fn the_batch_may_come_first() {
        // The same numbers as with the sequence first, axes exchanged.
        let mut given = inputs(4, 2);
        let both: &[_] = &[("direction", "bidirectional".into())];
        let plain = run_op("LSTM", 14, both, &given).unwrap();
        given[0] = given[0].take().map(|x| x.permute(&[1, 0, 2]));
        let swapped = run_op("LSTM", 14, &[both[0].clone(), ("layout", 1.into())], &given).unwrap();
        let axes: [&[usize]; 3] = [&[2, 0, 1, 3], &[1, 0, 2], &[1, 0, 2]];
        for ((plain, swapped), axes) in plain.into_iter().zip(swapped).zip(axes) {
            assert_eq!(plain.permute(axes).to_floats(), swapped.to_floats());
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        let mut ragged = inputs(1, 1);
        ragged.push(Some(ints(&[2], &[3, 2])));
        assert!(matches!(
            run_op("RNN", 14, &[], &ragged),
            Err(OpError::Unsupported { .. })
        ));
        ragged[4] = Some(ints(&[2], &[3, 3]));
        assert!(run_op("RNN", 14, &[], &ragged).is_ok());
        let clipped = run_op("RNN", 14, &[("clip", 1.0.into())], &inputs(1, 1));
        assert!(matches!(clipped, Err(OpError::Unsupported { .. })));
        let wide: Vec<_> = inputs(4, 1)
            .into_iter()
            .map(|input| input.map(Fact::known))
            .collect();
        let wide = infer_op("GRU", 14, &[], &wide);
        assert!(matches!(wide, Err(OpError::Shape { name: "W", .. })));
    }
}
