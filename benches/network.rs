//! A network's forward pass and training step on the CPU, and how fast pictures are prepared:
//! `cargo bench --bench network`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark that unwraps says where it failed"
)]

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_optim::{GradientsParams, ModuleOptimizer};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use potstill_core::data::{InMemory, Loader, LoaderOptions, Split, dataset};
use potstill_core::loss::cross_entropy;
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::train::TrainConfig;
use potstill_core::value::Value;
use potstill_core::zoo;

const CLASSES: usize = 100;
const BATCH: usize = 32;
const NETWORKS: [&str; 3] = ["resnet8", "resnet20", "mobilenetv2"];

fn network(name: &str, device: &Device) -> Network {
    let graph = zoo::build(name, CLASSES, [3, 32, 32], 0).expect("the zoo has the network");
    Network::new(graph, device).expect("the zoo's networks run")
}

fn pictures(batch: usize) -> Tensor<4> {
    Tensor::random(
        [batch, 3, 32, 32],
        Distribution::Normal(0.0, 1.0),
        &Device::flex(),
    )
}

fn logits(network: &Network, pictures: Tensor<4>, mode: Mode) -> Tensor<2> {
    let outputs = network
        .forward(Value::from(pictures), &[], mode)
        .expect("the pictures fit");
    outputs.float("logits").expect("the zoo's output is `logits`")
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    for name in NETWORKS {
        let network = network(name, &Device::flex());
        for batch in [1, BATCH] {
            let pictures = pictures(batch);
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |bencher| {
                bencher.iter(|| logits(&network, pictures.clone(), Mode::Inference).into_data());
            });
        }
    }
    group.finish();
}

fn training_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training step");
    for name in NETWORKS {
        let mut network = network(name, &Device::flex().autodiff());
        let mut optimizer: ModuleOptimizer = TrainConfig::default().build_optimizer();
        let pictures = pictures(BATCH);
        let labels = Tensor::<1, Int>::zeros([BATCH], &Device::flex());
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new(name, BATCH), |bencher| {
            bencher.iter(|| {
                let loss = cross_entropy(logits(&network, pictures.clone(), Mode::Training), labels.clone());
                let gradients = GradientsParams::from_grads(loss.backward(), &network);
                network = optimizer.step(0.01, network.clone(), gradients);
            });
        });
    }
    group.finish();
}

/// Pictures of CIFAR's size, augmented and normalised by one thread.
fn preparation(criterion: &mut Criterion) {
    const PICTURES: usize = 20_000;
    let pixels = vec![7; PICTURES * 3 * 32 * 32];
    let source = InMemory::new([3, 32, 32], vec!["a".into()], vec![0; PICTURES], pixels)
        .expect("there is a label for each picture");
    let pipeline = dataset("cifar100").expect("a known data set").pipeline();
    let options = LoaderOptions {
        threads: 1,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(
        Arc::new(source),
        &pipeline,
        Split::Train,
        options,
        &Device::flex(),
    )
    .expect("the pictures fit the pipeline");
    let mut group = criterion.benchmark_group("preparation");
    group.throughput(Throughput::Elements(PICTURES as u64));
    group.bench_function("cifar100", |bencher| {
        bencher.iter(|| loader.host_batches(0, 0).count());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(8));
    targets = forward, training_step, preparation
}
criterion_main!(benches);
