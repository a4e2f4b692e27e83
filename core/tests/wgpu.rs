//! Trains two steps of a tiny network on a Vulkan device, a software one if there is no other, and
//! compares them with the CPU.
//!
//! Debian's software device comes with `apt-get install mesa-vulkan-drivers`. Nearly all of the
//! time is compilation and autotuning of kernels, so the network is as small as BatchNorm, a
//! strided convolution, a pool and a linear layer allow.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use potstill_core::builder::{Conv, GraphBuilder, Pool};
use potstill_core::data::Batch;
use potstill_core::device::{Backend, available, self_test};
use potstill_core::graph::{Graph, GraphError, Init};
use potstill_core::plugin::{Students, Time, prepare};
use potstill_core::precision::Precision;
use potstill_core::train::TrainConfig;
use potstill_core::train::distillation::{Distillation, TimedBatch};

const SEED: u64 = 7;
const STEPS: usize = 2;
/// `[batch, channels, height, width]`
const IMAGES: [usize; 4] = [2, 3, 8, 8];
/// Largest difference over the CPU's largest entry.
const TOLERANCE: f32 = 1e-3;

/// Losses of the steps, then weights and statistics by name.
type Trained = (Vec<f32>, Vec<(String, Vec<f32>)>);

#[test]
fn two_training_steps_on_vulkan_agree_with_the_cpu() {
    let vulkan = available()
        .iter()
        .find(|found| found.backend == Backend::Wgpu && found.driver.starts_with("Vulkan"));
    let Some(vulkan) = vulkan else {
        potstill_evidence::skipped("Vulkan", "no device");
        return;
    };
    let device = vulkan
        .device
        .as_ref()
        .unwrap_or_else(|reason| panic!("{vulkan}: {reason}"));
    let (expected_losses, expected) = train(&Device::flex());
    let start = Instant::now();
    let (losses, got) = train(device);
    println!(
        "{vulkan}: {STEPS} steps in {:.1} s",
        start.elapsed().as_secs_f32()
    );

    assert_near("the losses", &losses, &expected_losses);
    assert_eq!(got.len(), expected.len());
    for ((name, got), (_, expected)) in got.iter().zip(&expected) {
        assert_near(name, got, expected);
    }

    // What `auto` and `potstill devices` ask of a device.
    let report = self_test(device).unwrap_or_else(|error| panic!("{vulkan}: {error}"));
    println!("{vulkan}: {report:?}");
}

fn train(device: &Device) -> Trained {
    let students = Students::single(graph().unwrap());
    let objective = prepare(&[], &students, [], 3, 1).unwrap();
    let mut distillation =
        Distillation::new(&students, &objective, Vec::new(), Precision::Fp32, device).unwrap();
    let mut optimizer = TrainConfig::default().build_optimizer();
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let time = Time {
            step,
            epoch: 0.0,
            epochs: 1,
            pictures: 100,
        };
        let batch = batch(step, device);
        let stage = None;
        let (gradients, report) = distillation
            .step(&mut [], TimedBatch { batch, time, stage })
            .unwrap();
        losses.push(report.loss.into_scalar::<f32>());
        distillation = distillation
            .update(&mut [], &mut optimizer, 0.05, gradients, time)
            .unwrap();
    }
    let weights = distillation.students[0]
        .tensors()
        .into_iter()
        .map(|tensor| (tensor.name, tensor.value.to_floats().unwrap()))
        .collect();
    (losses, weights)
}

fn graph() -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("tiny", SEED);
    let x = b.input("images", &IMAGES[1..]);
    let x = b.conv("conv1", &x, Conv::same(4, 3))?;
    let x = b.batch_norm("bn1", &x)?;
    let x = b.relu("relu1", &x)?;
    let x = b.conv("conv2", &x, Conv::same(8, 3).stride(2))?;
    let x = b.relu("relu2", &x)?;
    let window = Pool {
        kernel: 2,
        stride: 2,
        pad: 0,
    };
    let x = b.max_pool("pool", &x, window)?;
    let x = b.global_pool("features", &x)?;
    let x = b.linear("fc", &x, 3)?;
    b.output("logits", &x)?;
    b.finish()
}

fn batch(step: usize, device: &Device) -> Batch {
    let images: TensorData = Init::Normal(1.0).draw(&format!("images {step}"), &IMAGES, SEED);
    Batch {
        images: Tensor::from_data(images, device),
        labels: Tensor::<1, Int>::from_data([0, 2], device),
        indices: vec![0, 1],
        epoch: 0,
        view: 0,
        checksums: Vec::new(),
        number: step,
    }
}

fn assert_near(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0.0_f32, |size, x| size.max(x.abs()));
    for (got, expected) in got.iter().zip(expected) {
        assert!(
            (got - expected).abs() <= TOLERANCE * size,
            "{what}: {got} instead of {expected}, largest {size}"
        );
    }
}
