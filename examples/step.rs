//! One row of the comparison with PyTorch: the median time of a step, as one line of JSON.
//! `benches/peers/compare` runs it in turn with `benches/peers/pytorch.py`, which does the same job.
//! `cargo run --release --example step -- --row resnet20-train --threads 2 --steps 20`

use std::error::Error;
use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Int, Tensor};
use clap::Parser;
use potstill_core::data::{InMemory, Loader, LoaderOptions, Split, dataset};
use potstill_core::device::set_threads;
use potstill_core::loss::cross_entropy;
use potstill_core::network::Network;
use potstill_core::ops::Mode;
use potstill_core::plugin::{Plan, PluginSpec, Students, Time};
use potstill_core::train::distillation::TimedBatch;
use potstill_core::train::{Distillation, Frozen, TrainConfig};
use potstill_core::value::Value;
use potstill_core::zoo;
use potstill_plugins as _;

use burn::train::TrainStep;

const CLASSES: usize = 100;
const LEARNING_RATE: f64 = 0.01;

#[derive(Parser)]
struct Arguments {
    /// Row, as `benches/peers/pytorch.py` names it.
    #[arg(long)]
    row: String,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Timed steps.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Steps before the clock runs.
    #[arg(long, default_value_t = 3)]
    warmup: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    set_threads(arguments.threads)?;
    let mut step = row(&arguments)?;
    for _ in 0..arguments.warmup {
        step()?;
    }
    let mut seconds = Vec::with_capacity(arguments.steps);
    for _ in 0..arguments.steps {
        let started = Instant::now();
        step()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().ok_or("no steps")?;
    println!(
        "{}",
        serde_json::json!({"row": arguments.row, "median_s": median, "min_s": seconds[0], "peak_mb": peak_mb()})
    );
    Ok(())
}

type Step = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

fn row(arguments: &Arguments) -> Result<Step, Box<dyn Error>> {
    match arguments.row.as_str() {
        "resnet20-train" => training("resnet20", 128),
        "resnet20-infer-128" => inference("resnet20", 128),
        "resnet20-infer-1" => inference("resnet20", 1),
        "kd-resnet56-resnet20" => distillation("resnet56", "resnet20", 128, arguments),
        other => match other.strip_suffix("-train") {
            Some(name) => training(name, 64),
            None => Err(format!("no row `{other}`").into()),
        },
    }
}

fn network(name: &str, device: &Device) -> Result<Network, Box<dyn Error>> {
    Ok(Network::new(zoo::build(name, CLASSES, [3, 32, 32], 0)?, device)?)
}

fn pictures(batch: usize) -> Tensor<4> {
    Tensor::random(
        [batch, 3, 32, 32],
        Distribution::Normal(0.0, 1.0),
        &Device::flex(),
    )
}

fn training(name: &str, batch: usize) -> Result<Step, Box<dyn Error>> {
    let mut network = network(name, &Device::flex().autodiff())?;
    let mut optimizer = TrainConfig::default().build_optimizer();
    let pictures = pictures(batch);
    let labels = Tensor::<1, Int>::zeros([batch], &Device::flex());
    Ok(Box::new(move || {
        let outputs = network.forward(Value::from(pictures.clone()), &[], Mode::Training)?;
        let loss = cross_entropy(outputs.float("logits")?, labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(LEARNING_RATE, network.clone(), gradients);
        Ok(())
    }))
}

fn inference(name: &str, batch: usize) -> Result<Step, Box<dyn Error>> {
    let network = network(name, &Device::flex())?;
    let pictures = pictures(batch);
    Ok(Box::new(move || {
        let outputs = network.forward(Value::from(pictures.clone()), &[], Mode::Inference)?;
        outputs.float::<2>("logits")?.into_data();
        Ok(())
    }))
}

/// The whole step with augmentation, from the bytes of the pictures on.
fn distillation(
    teacher: &str,
    student: &str,
    batch: usize,
    arguments: &Arguments,
) -> Result<Step, Box<dyn Error>> {
    let count = batch * (arguments.steps + arguments.warmup);
    let bytes = (0..count * 3 * 32 * 32)
        .map(|index| (index * 31 % 251) as u8)
        .collect();
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    let labels = (0..count).map(|index| index % CLASSES).collect();
    let source = InMemory::new([3, 32, 32], names, labels, bytes)?;
    let options = LoaderOptions {
        batch_size: batch,
        threads: arguments.threads,
        ..LoaderOptions::default()
    };
    let pipeline = dataset("cifar100")?.pipeline();
    let device = Device::flex();
    let loader = Loader::new(
        std::sync::Arc::new(source),
        &pipeline,
        Split::Train,
        options,
        &device,
    )?;
    let teacher = Frozen {
        network: network(teacher, &device)?,
        logits: "logits".to_owned(),
        cache: None,
    };
    let taught = teacher.network.graph().clone();
    let plugins = vec!["kd:temperature=4,alpha=0.9".parse::<PluginSpec>()?.build()?];
    let students = Students::single(network(student, &device)?.graph().clone());
    let plan = Plan::prepared(&students, [&taught], &plugins, CLASSES, 1)?;
    let mut model = Distillation::new(&students, &plan, vec![teacher], plugins, &device)?;
    let mut optimizer = TrainConfig::default().build_optimizer();
    // The iterator borrows its loader, which lives as long as the program.
    let mut batches = Box::leak(Box::new(loader)).iter();
    let time = Time {
        step: 0,
        epoch: 0.0,
        epochs: 1,
    };
    Ok(Box::new(move || {
        let batch = batches.next().ok_or("no more batches")??;
        let stage = None;
        let output = TrainStep::step(&model, TimedBatch { batch, time, stage });
        if let Some(error) = model.take_failure() {
            return Err(error.into());
        }
        model = model
            .clone()
            .update(&mut optimizer, LEARNING_RATE, output.grads, time)?;
        Ok(())
    }))
}

/// The largest resident memory so far, in MiB; 0 where the system does not tell.
fn peak_mb() -> f64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()
        })
        .map_or(0.0, |kib| kib / 1024.0)
}
