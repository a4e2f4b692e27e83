//! `BatchNormalization`: per channel, to mean 0 and variance 1, then scaled and shifted.
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + bias; Ioffe and Szegedy 2015 (arXiv 1502.03167).
//!
//! Opset 9 lists five outputs in training; 14 replaces them by `training_mode` and three outputs;
//! 15 lets the types differ. With one output and without that attribute, as the builder writes it,
//! the form is the same throughout. Files exported for training and for inference both run in the
//! mode that the caller asks for: a student in training normalises with the batch's statistics
//! although its file says `training_mode = 0`, a teacher never does.
//!
//! ONNX's running variance is biased in training, PyTorch's is not (n / (n − 1)). Students follow
//! PyTorch: with momentum 0.1 of the new statistics (ONNX counts the other way round: 0.9 of the
//! old).

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;
use burn::tensor::Tensor;

use crate::op::{Fact, Inputs, Mode, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::{Kind, Value};

/// Batch normalisation over axis 1 of `[batch, channels, …]`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the old running statistics that remains after a step.
    pub momentum: f64,
}

impl BatchNorm {
    /// The running mean and variance after a step whose batch had these, its variance biased, over
    /// `count` elements of a channel.
    pub(crate) fn moved(&self, running: [Value; 2], batch: [Value; 2], count: usize) -> [Value; 2] {
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        let blend = |running: Value, new: Value, share: f64| -> Value {
            let new: Tensor<1> = new.float::<1>().detach() * (share * (1.0 - self.momentum));
            (running.float::<1>() * self.momentum + new).into()
        };
        let ([mean, variance], [new_mean, new_variance]) = (running, batch);
        [
            blend(mean, new_mean, 1.0),
            blend(variance, new_variance, unbiased),
        ]
    }
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
            Mode::Training | Mode::Rehearsal => {
                let batch = Dispatch::batch_norm_train(
                    x.into_dispatch(),
                    scale.into_dispatch(),
                    bias.into_dispatch(),
                    self.epsilon,
                );
                let new = [batch.mean, batch.variance].map(Value::new);
                let [mean, variance] = self.moved([mean, variance], new, count);
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
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "BatchNormalization",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::builder::GraphBuilder;
    use crate::network::Network;
    use crate::ops::testing::{assert_floats, floats, waves};

    /// Three channels with statistics and weights of their own.
    fn network(device: &Device) -> Network {
        let mut builder = GraphBuilder::new("normalised", 0);
        let x = builder.input("x", &[3, 2, 2]);
        let y = builder.batch_norm("bn", &x).unwrap();
        builder.output("y", &y).unwrap();
        let mut graph = builder.finish().unwrap();
        for (name, values) in [
            ("bn.weight", [1.5f32, 0.5, -1.0]),
            ("bn.bias", [0.1, -0.2, 0.3]),
            ("bn.running_mean", [0.2, -0.4, 0.6]),
            ("bn.running_var", [0.5, 1.0, 2.0]),
        ] {
            graph.tensors[name].data = TensorData::new(values.to_vec(), [3]);
        }
        Network::new(graph, device).unwrap()
    }

    #[rustfmt::skip]
    const OUTPUT: [f32; 24] = [
        -0.042050015, 1.2971601, 1.7924925, 1.2109845,
        0.1827717, -0.368236, -0.7146017, -0.6934245,
        1.6943448, 0.53332037, -0.45489052, -0.8055158,
        1.185083, -0.21204413, -1.7432487, -2.6883774,
        -0.68809795, -0.30238324, 0.2570017, 0.72697,
        -0.8039534, -0.33398166, 0.7167097, 1.8539668,
    ];
    #[rustfmt::skip]
    const INPUT_GRADIENT: [f32; 24] = [
        2.0510852, 1.2953799, 0.75592864, 0.5729943,
        -0.10221868, -0.007933934, -0.04279981, -0.28363678,
        1.4519624, 1.5954654, 1.6220437, 1.5751103,
        -2.8923264, -1.8193765, -0.5324756, 0.5687911,
        0.19958705, 0.20449062, 0.076465875, -0.043954317,
        -1.7514559, -1.7620916, -1.5495459, -1.1814878,
    ];

    // bn = torch.nn.BatchNorm2d(3, momentum=0.1), its tensors as in `network`; x =
    // torch.sin(torch.arange(24.) * 0.7 + 0.2) .reshape(2, 3, 2, 2); w =
    // torch.cos(torch.arange(24.) * 0.3).reshape(2, 3, 2, 2); y = bn(x); (y * w).sum().backward()
    #[test]
    fn training_follows_pytorch_in_outputs_statistics_and_gradients() {
        let device = Device::flex().autodiff();
        let network = network(&device);
        let x = Value::from_data(waves(&[2, 3, 2, 2], 0.2, 0.7).into_data(), &device);
        let x = Value::from(x.float::<4>().require_grad());
        let outputs = network.forward(x.clone(), &[], Mode::Training).unwrap();
        let y = outputs.get("y").unwrap().clone();
        assert_floats(&y, &[2, 3, 2, 2], &OUTPUT);
        let tensors = network.tensors();
        let value = |name: &str| {
            tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .unwrap()
                .value
                .clone()
        };
        assert_floats(
            &value("bn.running_mean"),
            &[3],
            &[0.20606838, -0.3924977, 0.5751717],
        );
        assert_floats(
            &value("bn.running_var"),
            &[3],
            &[0.49900833, 0.9423636, 1.8391705],
        );

        let weights: Vec<f32> = (0..24).map(|i| (i as f32 * 0.3).cos()).collect();
        let weights = Tensor::<4>::from_data(TensorData::new(weights, [2, 3, 2, 2]), &device);
        let gradients = (y.float::<4>() * weights).sum().backward();
        let gradient = Value::from(x.float::<4>().grad(&gradients).unwrap());
        assert_floats(&gradient, &[2, 3, 2, 2], &INPUT_GRADIENT);
        for (name, expected) in [
            ("bn.weight", [2.5560203, 2.9504492, -0.5695964]),
            ("bn.bias", [1.0785348, 1.6359296, 0.10704851]),
        ] {
            let weight = network.weight(name).unwrap().value(false).float::<1>();
            assert_floats(&Value::from(weight.grad(&gradients).unwrap()), &[3], &expected);
        }
    }

    // bn.eval()(x) for pictures of one colour each
    #[test]
    fn inference_uses_the_running_statistics_and_leaves_them() {
        let network = network(&Device::flex());
        let x = floats(&[1, 3, 1, 1], &[0.2, 0.6, 2.0]);
        let x = x.expand(&[1, 3, 2, 2]);
        let outputs = network.forward(x, &[], Mode::Inference).unwrap();
        let y = outputs.get("y").unwrap().to_floats().unwrap();
        let expected = [0.1, 0.2999975, -0.689947];
        for (y, expected) in y.chunks(4).zip(expected) {
            assert!(
                y.iter().all(|y| (y - expected).abs() < 1e-6),
                "{y:?}, expected {expected}"
            );
        }
        let tensors = network.tensors();
        let mean = tensors
            .iter()
            .find(|tensor| tensor.name == "bn.running_mean")
            .unwrap();
        assert_floats(&mean.value, &[3], &[0.2, -0.4, 0.6]);
    }
}
