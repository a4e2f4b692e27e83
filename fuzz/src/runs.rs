//! What runs leave behind and take up again.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_optim::{GradientsParams, ModuleOptimizer};
use potstill_core::data::Batch;
use potstill_core::network::{Network, Outputs};
use potstill_core::op::Mode;
use potstill_core::plugin::Recorded;
use potstill_core::precision::Precision;
use potstill_core::train::checkpoint::{Checkpoints, Which};
use potstill_core::train::teacher_cache::KeptValue;
use potstill_core::train::{CacheKey, CacheSetup, Pictures, TrainConfig};
use potstill_core::value::Value;
use potstill_teachers::decode;
use tempfile::TempDir;

use super::place::{folder, put};
use super::worded;

thread_local! {
    static CACHE: TempDir = folder();
    static RECORD: TempDir = folder();
    static CHECKPOINT: Run = Run::new();
}

/// The key of a teacher with logits and a hint, of 5 pictures in 2 views.
pub fn cache_key() -> CacheKey {
    let value = |name: &str, shape: &[usize]| KeptValue {
        name: name.to_owned(),
        shape: shape.to_vec(),
    };
    CacheKey {
        precision: Precision::Fp32,
        teacher: "a".repeat(64),
        pictures: Pictures {
            data: "glyphs".to_owned(),
            fingerprint: "b".repeat(64),
            transforms: "[flip]".to_owned(),
            seed: 0,
            views: 2,
            samples: 5,
        },
        values: vec![value("logits", &[3]), value("hint", &[2, 1, 2])],
    }
}

/// Pictures 4, 0 and 2 in their second view.
fn batch() -> Batch {
    let device = Device::flex();
    Batch {
        images: Tensor::zeros([3, 1, 1, 1], &device),
        labels: Tensor::<1, Int>::from_data([0, 0, 0], &device),
        indices: vec![4, 0, 2],
        epoch: 1,
        view: 1,
        checksums: vec![14, 10, 12],
        number: 0,
    }
}

/// What the teacher says to three pictures.
fn said() -> Outputs {
    let values = |shape: &[usize]| {
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|index| index as f32 / 4.0).collect();
        Value::from_data(TensorData::new(numbers, shape.to_vec()), &Device::flex())
    };
    let mut outputs = Outputs::default();
    outputs.insert("logits", values(&[3, 3]));
    outputs.insert("hint", values(&[3, 2, 1, 2]));
    outputs
}

/// A file of teachers' outputs. Whatever it holds, a batch has its outputs the first time, and the
/// second time without the teacher.
pub fn cache(bytes: &[u8]) {
    CACHE.with(|folder| {
        let key = cache_key();
        put(folder.path(), &key.file_name(), bytes);
        let setup = CacheSetup {
            precision: Precision::Fp32,
            folder: folder.path().to_owned(),
            pictures: key.pictures.clone(),
        };
        let cache = setup
            .open(vec![key])
            .expect("a file of outputs that is of no use is made anew")
            .remove(0);
        for again in [false, true] {
            let outputs = cache.outputs(&batch(), &["logits", "hint"], |_| {
                assert!(!again, "the teacher runs although its outputs are there");
                Ok(said())
            });
            worded(outputs);
            cache.holding();
            cache.fault();
        }
    });
}

/// A folder with a checkpoint, the parts of it, and what they are put into.
struct Run {
    folder: TempDir,
    parts: [(&'static str, Vec<u8>); 6],
    network: Network,
    config: TrainConfig,
}

impl Run {
    fn new() -> Self {
        let bytes = include_bytes!("../../tests/interop/operators/conv_2d_bias.onnx");
        let graph = decode(bytes, None).expect("a recorded model can be read");
        let network = Network::new(graph, &Device::flex().autodiff()).expect("a recorded model runs");
        let config = TrainConfig::default();
        let mut optimizer = config.build_optimizer();
        let network = step(&mut optimizer, network);
        let record = |bytes: Result<burn::tensor::Bytes, _>| -> Vec<u8> {
            bytes
                .map_err(|error: burn::store::RecordError| error.to_string())
                .expect("a record is written")
                .to_vec()
        };
        let rate = burn_optim::lr_scheduler::LrSchedulerRecord::new()
            .with_scalar("0.step", 3_u64)
            .with_scalar("0.best", 0.5);
        let header = br#"{"ft/mean":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let remembered = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
        let state = r#"{"step":3,"epoch":1,"batch":1,"partial":{"loss":0.5,"terms":{"task":0.5},"tally":{"first":1,"among_five":2,"loss":0.5,"samples":2},"samples":2},"best":null,"waited":0}"#;
        let parts = [
            (
                "step-00000003/students.bpk",
                record(vec![network.clone()].into_record().into_bytes()),
            ),
            (
                "step-00000003/auxiliaries.bpk",
                record(Vec::<Network>::new().into_record().into_bytes()),
            ),
            ("step-00000003/optimizer.bpk", record(optimizer.into_bytes())),
            ("step-00000003/learning-rate.bpk", record(rate.into_bytes())),
            ("step-00000003/methods.safetensors", remembered),
            ("step-00000003/state.json", state.as_bytes().to_vec()),
        ];
        Self {
            folder: folder(),
            parts,
            network,
            config,
        }
    }
}

/// A step down the sum of all outputs.
fn step(optimizer: &mut ModuleOptimizer, network: Network) -> Network {
    let input = &network.graph().inputs[0];
    let dims = input.dims_at(2).expect("the recorded model states its input");
    let picture = Value::from_data(TensorData::zeros::<f32, _>(dims), &network.device());
    let outputs = network
        .forward(picture, &[], Mode::Training)
        .expect("it takes its input");
    let (_, output) = outputs.first().expect("it has an output");
    let gradients = output.clone().float::<4>().sum().backward();
    let gradients = GradientsParams::from_grads(gradients, &network);
    optimizer.step(0.1, network, gradients)
}

/// The parts of a valid checkpoint, each as the bytes that [`checkpoint`] reads: a number that says
/// which part it is, then its content.
pub fn checkpoint_parts() -> Vec<Vec<u8>> {
    CHECKPOINT.with(|run| {
        let part =
            |(number, (_, content)): (usize, &(&str, Vec<u8>))| [&[number as u8][..], content].concat();
        let mut parts: Vec<Vec<u8>> = run.parts.iter().enumerate().map(part).collect();
        parts.push([&[run.parts.len() as u8][..], b"step-00000003"].concat());
        parts
    })
}

/// A checkpoint of which one part consists of the bytes; where it can be read, training goes on for
/// a step.
pub fn checkpoint(bytes: &[u8]) {
    let Some((&chosen, content)) = bytes.split_first() else {
        return;
    };
    CHECKPOINT.with(|run| {
        let chosen = usize::from(chosen) % (run.parts.len() + 1);
        let root = run.folder.path();
        let below = Path::new("checkpoints");
        for (number, (name, valid)) in run.parts.iter().enumerate() {
            let content = if number == chosen { content } else { valid };
            put(&root.join(below), name, content);
        }
        let pointer = if chosen == run.parts.len() {
            content
        } else {
            b"step-00000003"
        };
        put(&root.join(below), "last", pointer);
        let checkpoints = Checkpoints::new(root);
        let Some(loaded) = worded(checkpoints.load(Which::Last)) else {
            return;
        };
        let put = checkpoints.put(Which::Last, loaded.students, vec![run.network.clone()]);
        let Some(mut networks) = worded(put) else { return };
        let mut optimizer = run.config.build_optimizer().load_record(loaded.optimizer);
        step(&mut optimizer, networks.remove(0));
    });
}

/// A record of a method's loss.
pub fn record(bytes: &[u8]) {
    RECORD.with(|folder| {
        let path = put(folder.path(), "loss.safetensors", bytes);
        let Some(record) = worded(Recorded::open(&path)) else {
            return;
        };
        for name in record.names() {
            worded(record.int::<1>(name));
            worded(record.members(name));
            if let Some(logits) = worded(record.float::<2>(name)) {
                worded(record.labels("labels", &logits));
            }
        }
        record.epoch();
    });
}
