//! Whether a device computes what the CPU computes.
//!
//! GPU drivers and shader compilers have bugs that no error reports: a device can train for hours
//! on wrong gradients. So a network of some six hundred weights, with the layers that image
//! classifiers are made of, does one training step on the device and on the CPU; outputs, running
//! statistics, loss, gradients and stepped weights must agree.

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor};
use burn_optim::{GradientsParams, SgdConfig};
use serde::Serialize;

use super::SelfTestError;
use super::panics::caught;
use crate::builder::{Conv, GraphBuilder, Pool};
use crate::graph::{Graph, GraphError, Init};
use crate::loss::cross_entropy;
use crate::network::Network;
use crate::op::Mode;
use crate::value::Value;

/// The largest difference over the CPU's largest entry that is allowed in each tensor. Rounding in
/// another order stays below 1e-5.
pub const TOLERANCE: f64 = 1e-3;

/// `[batch, channels, height, width]` of the fixed input.
const INPUT: [usize; 4] = [4, 3, 8, 8];
const LABELS: [i64; 4] = [0, 3, 1, 4];
const CLASSES: usize = 5;
/// Any seed would do; ties in the pool and zeros before a ReLU, where rounding decides, do not
/// occur with this one.
const SEED: u64 = 22;
const LEARNING_RATE: f64 = 0.1;

/// How near a device came: the largest deviation of each kind, as a share of the CPU's largest
/// entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Of the outputs `[batch, classes]`, in training and, after the step, in inference mode.
    pub outputs: f64,
    /// Of the cross-entropy.
    pub loss: f64,
    /// Of the weights' gradients.
    pub gradients: f64,
    /// Of weights and running statistics after one step of SGD.
    pub weights: f64,
    /// How long the device took, compilation included.
    pub seconds: f64,
}

/// Runs the self-test on a device.
///
/// # Errors
/// The first result that differs from the CPU's by more than [`TOLERANCE`], or what made the device
/// stop.
pub fn self_test(device: &Device) -> Result<Report, SelfTestError> {
    let expected = trace(&Device::flex())?;
    let start = Instant::now();
    let got = caught(|| trace(device)).map_err(|reason| SelfTestError::Stopped { reason })??;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report {
        outputs: compare(&got.outputs, &expected.outputs)?,
        loss: compare(&got.loss, &expected.loss)?,
        gradients: compare(&got.gradients, &expected.gradients)?,
        weights: compare(&got.weights, &expected.weights)?,
        seconds,
    })
}

/// Numbers under the name that an error gives them.
type Named = Vec<(String, Vec<f32>)>;

/// All that one training step leaves.
#[derive(Clone, Debug)]
struct Trace {
    outputs: Named,
    loss: Named,
    gradients: Named,
    weights: Named,
}

fn trace(device: &Device) -> Result<Trace, SelfTestError> {
    let network = Network::new(graph()?, &device.clone().autodiff())?;
    let images = Value::from_data(Init::Normal(1.0).draw("images", &INPUT, SEED), device);
    let labels = Tensor::<1, Int>::from_data(LABELS, device);
    let logits: Tensor<2> = network
        .forward(images.clone(), &[], Mode::Training)?
        .float("logits")?;
    let loss = cross_entropy(logits.clone(), labels);
    let all = loss.backward();
    let mut gradients = Named::new();
    for tensor in network.tensors() {
        // Elementwise reading: the rank in the type does not matter.
        let weight = network.weight(&tensor.name).map(|weight| weight.value(false));
        if let Some(gradient) = weight.and_then(|weight| weight.float::<1>().grad(&all)) {
            gradients.push((
                format!("the gradient of `{}`", tensor.name),
                numbers(&gradient.into()),
            ));
        }
    }
    let optimizer_gradients = GradientsParams::from_grads(all, &network);
    let network = SgdConfig::new()
        .init()
        .step(LEARNING_RATE, network, optimizer_gradients);
    let weights = network
        .tensors()
        .into_iter()
        .map(|tensor| (format!("`{}` after a step", tensor.name), numbers(&tensor.value)))
        .collect();
    let inferred: Tensor<2> = network.forward(images, &[], Mode::Inference)?.float("logits")?;
    Ok(Trace {
        outputs: vec![
            ("the output in training".to_owned(), numbers(&logits.into())),
            ("the output in inference".to_owned(), numbers(&inferred.into())),
        ],
        loss: vec![("the loss".to_owned(), numbers(&loss.into()))],
        gradients,
        weights,
    })
}

fn numbers(value: &Value) -> Vec<f32> {
    value.to_floats().unwrap_or_default()
}

/// Convolutions (plain, strided, 1×1, depthwise), BatchNorm, ReLU, a residual sum, both kinds of
/// pools and a linear layer.
fn graph() -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("self-test", SEED);
    let x = b.input("images", &INPUT[1..]);
    let x = b.conv("conv1", &x, Conv::same(4, 3))?;
    let x = b.batch_norm("bn1", &x)?;
    let x = b.relu("relu1", &x)?;
    let straight = b.conv("conv2", &x, Conv::same(8, 3).stride(2))?;
    let straight = b.batch_norm("bn2", &straight)?;
    let shortcut = b.conv("shortcut", &x, Conv::same(8, 1).stride(2))?;
    let x = b.add("sum", &straight, &shortcut)?;
    let x = b.relu("relu2", &x)?;
    let x = b.conv("depthwise", &x, Conv::same(8, 3).groups(8))?;
    let x = b.batch_norm("bn3", &x)?;
    let x = b.relu("relu3", &x)?;
    let window = Pool {
        kernel: 2,
        stride: 2,
        pad: 0,
    };
    let x = b.max_pool("pool", &x, window)?;
    let x = b.global_pool("features", &x)?;
    let x = b.linear("fc", &x, CLASSES)?;
    b.output("logits", &x)?;
    b.finish()
}

/// The largest deviation among `got`, or an error for the first tensor beyond the tolerance.
fn compare(got: &Named, expected: &Named) -> Result<f64, SelfTestError> {
    let mut largest = 0.0_f64;
    for (i, (what, expected)) in expected.iter().enumerate() {
        let deviation = match got.get(i) {
            Some((_, got)) => deviation(got, expected),
            None => f64::INFINITY,
        };
        if deviation > TOLERANCE {
            return Err(SelfTestError::Differs {
                what: what.clone(),
                deviation,
                allowed: TOLERANCE,
            });
        }
        largest = largest.max(deviation);
    }
    Ok(largest)
}

/// max |got − expected| / max |expected|; infinite where numbers are missing or not finite.
fn deviation(got: &[f32], expected: &[f32]) -> f64 {
    if got.len() != expected.len() || got.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0_f64, f64::max);
    let size = largest(&mut expected.iter().map(|x| f64::from(x.abs())));
    let difference = largest(
        &mut got
            .iter()
            .zip(expected)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()),
    );
    if size == 0.0 {
        difference
    } else {
        difference / size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_passes_with_every_weight_compared() {
        let report = self_test(&Device::flex()).unwrap();
        assert!(report.gradients < 1e-6, "{report:?}");
        let trace = trace(&Device::flex()).unwrap();
        // 4 convolutions, scale and shift of 3 BatchNorms, weight and bias of the linear layer.
        assert_eq!(trace.gradients.len(), 12);
        assert!(
            trace
                .gradients
                .iter()
                .all(|(_, numbers)| numbers.iter().any(|x| x.abs() > 1e-4)),
            "{:?}",
            trace.gradients
        );
        // Weights as above, and mean and variance of 3 BatchNorms.
        assert_eq!(trace.weights.len(), 18);
    }

    #[test]
    fn a_wrong_gradient_is_named() {
        let expected = trace(&Device::flex()).unwrap();
        let mut got = expected.clone();
        got.gradients[0].1[0] += 1.0;
        let message = compare(&got.gradients, &expected.gradients)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("the gradient of `conv1.weight` differs from the CPU's by "),
            "{message}"
        );
    }

    #[test]
    fn nan_and_missing_numbers_never_pass() {
        assert_eq!(deviation(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(deviation(&[], &[1.0]), f64::INFINITY);
        assert!(compare(&Vec::new(), &vec![("the loss".to_owned(), vec![1.0])]).is_err());
    }

    #[test]
    fn deviations_are_shares_of_the_largest_expected_entry() {
        assert_eq!(deviation(&[2.0, 0.5], &[2.0, 0.0]), 0.25);
        assert_eq!(deviation(&[0.5], &[0.0]), 0.5);
    }
}
