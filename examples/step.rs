//! One row of the comparison with PyTorch: the median time of a step, as one line of JSON.
//! `benches/peers/compare` runs it in turn with `benches/peers/pytorch.py`, which does the same
//! job. `cargo run --release --example step -- --row resnet20-train --threads 2 --steps 20`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_optim::GradientsParams;
use clap::Parser;
use potstill_core::data::{InMemory, Loader, LoaderOptions, Split, dataset};
use potstill_core::device::{Aligned, keep_freed_memory, set_threads};
use potstill_core::graph::Graph;
use potstill_core::loss::cross_entropy;
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::plugin::{Objective, PluginSpec, Structure, Students, Time, cohort_of, prepare};
use potstill_core::precision::Precision;
use potstill_core::train::distillation::TimedBatch;
use potstill_core::train::{CacheSetup, Distillation, Frozen, Pictures, TeacherCache, TrainConfig};
use potstill_core::value::Value;
use potstill_core::zoo;
use potstill_plugins as _;

const CLASSES: usize = 100;
const LEARNING_RATE: f64 = 0.01;

#[global_allocator]
static MEMORY: Aligned = Aligned;

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
    /// fp32, or bf16 for the factors of convolutions.
    #[arg(long, default_value = "fp32")]
    precision: Precision,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    keep_freed_memory();
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
    let one = |branches: usize| format!("one:branches={branches}");
    match arguments.row.as_str() {
        "resnet20-train" => training("resnet20", 128, arguments.precision),
        "resnet20-infer-128" => inference("resnet20", 128, arguments.precision),
        "resnet20-infer-1" => inference("resnet20", 1, arguments.precision),
        "kd-resnet56-resnet20" => {
            let job = Job {
                teacher: Some("resnet56"),
                ..Job::new("resnet20", "kd:temperature=4,alpha=0.9")
            };
            job.step(arguments)
        }
        "kd-resnet56-resnet20-cached" => {
            let job = Job {
                teacher: Some("resnet56"),
                cached: true,
                ..Job::new("resnet20", "kd:temperature=4,alpha=0.9")
            };
            let mut step = job.step(arguments)?;
            // Until every picture has been seen once.
            for _ in 0..arguments.steps + arguments.warmup {
                step()?;
            }
            Ok(step)
        }
        "one-3-resnet32" => Job::new("resnet32", &one(3)).step(arguments),
        "one-2-resnet20" => Job::new("resnet20", &one(2)).step(arguments),
        "one-4-resnet20" => Job::new("resnet20", &one(4)).step(arguments),
        "one-8-resnet20" => Job::new("resnet20", &one(8)).step(arguments),
        "okddip-4-resnet20" => Job::new("resnet20", "okddip:structure=network").step(arguments),
        "resnet20-alone" => Job::new("resnet20", "").step(arguments),
        "resnet20-epoch" => {
            let mut step = Job {
                pictures: EPOCH,
                ..Job::new("resnet20", "")
            }
            .step(arguments)?;
            Ok(Box::new(move || {
                for _ in 0..EPOCH / BATCH {
                    step()?;
                }
                Ok(())
            }))
        }
        other => match other.strip_suffix("-train") {
            Some(name) => training(name, 64, arguments.precision),
            None => Err(format!("no row `{other}`").into()),
        },
    }
}

/// Training pictures of CIFAR-100, and pictures of a distillation's step.
const EPOCH: usize = 50_000;
const BATCH: usize = 128;

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

fn training(name: &str, batch: usize, precision: Precision) -> Result<Step, Box<dyn Error>> {
    let mut network = network(name, &Device::flex().autodiff())?.training_in(precision);
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

fn inference(name: &str, batch: usize, precision: Precision) -> Result<Step, Box<dyn Error>> {
    let network = network(name, &Device::flex())?.frozen_in(precision);
    let pictures = pictures(batch);
    Ok(Box::new(move || {
        let outputs = network.forward(Value::from(pictures.clone()), &[], Mode::Inference)?;
        outputs.float::<2>("logits")?.into_data();
        Ok(())
    }))
}

/// Whole steps of a method, with augmentation, from the bytes of the pictures on.
struct Job<'a> {
    teacher: Option<&'a str>,
    student: &'a str,
    plugin: &'a str,
    /// Whether the teacher's outputs are kept; each picture then has one view.
    cached: bool,
    /// How many there are at least; as many as the steps need are made.
    pictures: usize,
}

impl<'a> Job<'a> {
    fn new(student: &'a str, plugin: &'a str) -> Self {
        Self {
            teacher: None,
            student,
            plugin,
            cached: false,
            pictures: 0,
        }
    }

    fn count(&self, arguments: &Arguments) -> usize {
        self.pictures.max(BATCH * (arguments.steps + arguments.warmup))
    }

    /// Where a teacher's outputs are kept, in a folder that goes with the program.
    fn caches(
        &self,
        objective: &Objective,
        teacher: Option<&Graph>,
        arguments: &Arguments,
    ) -> Result<Vec<TeacherCache>, Box<dyn Error>> {
        if !self.cached {
            return Ok(Vec::new());
        }
        let folder: &'static tempfile::TempDir = Box::leak(Box::new(tempfile::tempdir()?));
        let setup = CacheSetup {
            folder: folder.path().to_owned(),
            precision: arguments.precision,
            pictures: Pictures {
                data: "bytes".to_owned(),
                fingerprint: String::new(),
                transforms: String::new(),
                seed: 0,
                views: 1,
                samples: self.count(arguments),
            },
        };
        Ok(setup.open(setup.keys(objective, teacher)?)?)
    }

    fn loader(&self, arguments: &Arguments, device: &Device) -> Result<Loader, Box<dyn Error>> {
        let count = self.count(arguments);
        let bytes = (0..count * 3 * 32 * 32)
            .map(|index| (index * 31 % 251) as u8)
            .collect();
        let names = (0..CLASSES).map(|class| class.to_string()).collect();
        let labels = (0..count).map(|index| index % CLASSES).collect();
        let source = InMemory::new([3, 32, 32], names, labels, bytes)?;
        let options = LoaderOptions {
            batch_size: BATCH,
            threads: arguments.threads,
            views: usize::from(self.cached),
            ..LoaderOptions::default()
        };
        let pipeline = dataset("cifar100")?.pipeline();
        Ok(Loader::new(
            Arc::new(source),
            &pipeline,
            Split::Train,
            options,
            device,
        )?)
    }

    fn step(&self, arguments: &Arguments) -> Result<Step, Box<dyn Error>> {
        let device = Device::flex();
        let plugins = match self.plugin {
            "" => Vec::new(),
            plugin => vec![plugin.parse::<PluginSpec>()?.build()?],
        };
        let cohort = cohort_of(&plugins)?;
        let members = cohort.as_ref().map_or(Ok(1), |cohort| cohort.members(1))?;
        let member = |member: usize| zoo::build(self.student, CLASSES, [3, 32, 32], member as u64);
        let members = (0..members).map(member).collect::<Result<Vec<_>, _>>()?;
        let split = match cohort.as_ref().map(|cohort| &cohort.structure) {
            Some(Structure::Branches { .. }) => vec![zoo::landmarks(self.student)?.split],
            _ => Vec::new(),
        };
        let students = Students::new(cohort.as_ref(), members, &split)?;
        let teacher = self
            .teacher
            .map(|teacher| network(teacher, &device))
            .transpose()?;
        let taught = teacher.as_ref().map(Network::graph);
        let mut objective = prepare(&plugins, &students, taught, CLASSES, 1)?;
        let caches = self.caches(&objective, taught, arguments)?;
        let mut caches = caches.into_iter().map(Arc::new);
        let teachers = teacher
            .into_iter()
            .map(|network| Frozen {
                network,
                logits: "logits".to_owned(),
                cache: caches.next(),
            })
            .collect();
        let mut model = Distillation::new(&students, &objective, teachers, arguments.precision, &device)?;
        let mut optimizer = TrainConfig::default().build_optimizer();
        let loader = self.loader(arguments, &device)?;
        let mut batches = loader.iter();
        let time = Time {
            step: 0,
            epoch: 0.0,
            epochs: 1,
            pictures: loader.num_items(),
        };
        Ok(Box::new(move || {
            let batch = match batches.next() {
                Some(batch) => batch?,
                None => {
                    batches = loader.iter();
                    batches.next().ok_or("no batches")??
                }
            };
            let stage = None;
            let (gradients, _) = model.step(&mut objective.methods, TimedBatch { batch, time, stage })?;
            let methods = &mut objective.methods;
            model = model
                .clone()
                .update(methods, &mut optimizer, LEARNING_RATE, gradients, time)?;
            Ok(())
        }))
    }
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
