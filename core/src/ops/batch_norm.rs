//! `BatchNormalization`: per channel, to mean 0 and variance 1, then scaled and shifted.
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + bias; Ioffe and Szegedy 2015 (arXiv 1502.03167).
//!
//! Opset 9 lists five outputs in training; 14 replaces them by `training_mode` and three outputs; 15 lets the types differ. With one output and
//! without that attribute, as the builder writes it, the form is the same throughout. Files
//! exported for training and for inference both run in the mode that the caller asks for: a student in training normalises with the batch's
//! statistics although its file says `training_mode = 0`, a teacher never does.
//!
//! ONNX's running variance is biased in training, PyTorch's is not (n / (n − 1)). Students follow PyTorch: with momentum 0.1 of the new
//! statistics (ONNX counts the other way round: 0.9 of the old).

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;
use burn::tensor::Tensor;

use super::{Inputs, Mode, NodeReader, Op, OpError, Operator, RunContext};
use crate::graph::{Fact, Role};
use crate::value::{Kind, Value};

/// Batch normalisation over axis 1 of `[batch, channels, …]`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the old running statistics that remains after a step.
    pub momentum: f64,
}

/// Names of the per-channel inputs, in ONNX's order from 1 on.
const PER_CHANNEL: [&str; 4] = ["scale", "B", "input_mean", "input_var"];

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        if x.rank() < 2 {
            let expected = "[batch, channels, …]".to_owned();
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected,
            });
        }
        for (index, name) in PER_CHANNEL.into_iter().enumerate() {
            let fact = inputs.of_kind(index + 1, name, Kind::Float)?;
            if fact.dims != [x.dims[1]] {
                let expected = format!("[{}], one element per channel", x.dims[1]);
                return Err(OpError::Shape {
                    name,
                    got: fact.dims.clone(),
                    expected,
                });
            }
        }
        Ok(vec![
            Fact::float(x.dims.clone()),
            Fact::float([x.dims[1]]),
            Fact::float([x.dims[1]]),
        ])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let per_channel = |index: usize| inputs.required(index + 1, PER_CHANNEL[index]).cloned();
        let (scale, bias) = (per_channel(0)?, per_channel(1)?);
        let (mean, variance) = (per_channel(2)?, per_channel(3)?);
        let count = x.len() / x.dims()[1].max(1);
        match context.mode {
            Mode::Inference => {
                let y = Dispatch::batch_norm(
                    x.into_dispatch(),
                    scale.into_dispatch(),
                    bias.into_dispatch(),
                    mean.clone().into_dispatch(),
                    variance.clone().into_dispatch(),
                    self.epsilon,
                );
                Ok(vec![Value::new(y), mean, variance])
            }
            Mode::Training => {
                let batch = Dispatch::batch_norm_train(
                    x.into_dispatch(),
                    scale.into_dispatch(),
                    bias.into_dispatch(),
                    self.epsilon,
                );
                let unbiased = count as f64 / (count.max(2) - 1) as f64;
                let blend = |running: Value, new: Tensor<1>| -> Value {
                    let new = new.detach() * (1.0 - self.momentum);
                    (running.float::<1>() * self.momentum + new).into()
                };
                let mean = blend(mean, Tensor::from_dispatch(batch.mean));
                let variance = blend(variance, Tensor::from_dispatch(batch.variance) * unbiased);
                Ok(vec![Value::new(batch.output), mean, variance])
            }
        }
    }

    fn cost(&self, _inputs: &Inputs<'_, Fact>, outputs: &[Fact]) -> u64 {
        outputs.first().map_or(0, |y| y.len() as u64)
    }

    fn role(&self, input: usize) -> Role {
        if input <= 2 { Role::Weight } else { Role::Buffer }
    }

    fn updates(&self) -> &'static [(usize, usize)] {
        &[(1, 3), (2, 4)]
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let momentum = f64::from(node.float("momentum", 0.9)?);
    if node.int("spatial")?.is_some_and(|spatial| spatial != 1) {
        return Err(OpError::Unsupported {
            what: "`spatial = 0` (statistics per element)".to_owned(),
        });
    }
    if node.opset >= 14 {
        node.flag("training_mode", false)?;
    }
    Ok(Box::new(BatchNorm { epsilon, momentum }))
}

/// The table's entries.
pub const OPERATORS: &[Operator] = &[Operator {
    name: "BatchNormalization",
    forms: &[],
    read,
}];
