//! `potstill run`: an ONNX file on arrays.

use std::fs::File;
use std::io::{BufReader, Cursor, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{BoolStore, DType, Device, TensorData};
use clap::Args;
use potstill_core::files::write_whole;
use potstill_core::graph::{Graph, Role, StoredTensor, ValueInfo};
use potstill_core::names::nearest;
use potstill_core::network::Network;
use potstill_core::npz::{NpyFile, NpzReader, NpzWriter, elements};
use potstill_core::op::{Attribute, Fact, Inputs, Mode, Op, OpError, RunContext};
use potstill_core::value::{Kind, Value};
use potstill_run::RunError;
use potstill_teachers::decode_file;

use crate::error::CliError;

/// Run an ONNX file on arrays from an .npz archive, and write its outputs as one.
#[derive(Debug, Args)]
pub struct RunFile {
    /// ONNX file.
    file: PathBuf,
    /// Archive with an array for each input, under the input's name; others are ignored.
    #[arg(long)]
    input: PathBuf,
    /// Archive to write, with an array for each output.
    #[arg(long)]
    output: PathBuf,
    /// Also write these values of the network, as `inspect` lists them.
    #[arg(long, value_delimiter = ',')]
    tap: Vec<String>,
}

impl RunFile {
    /// Runs and writes.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let mut graph = decode_file(&self.file).map_err(|source| RunError::Import {
            path: self.file.clone(),
            source,
        })?;
        let refuse = |source| RunError::Network {
            path: self.file.clone(),
            source,
        };
        as_written(&mut graph);
        let arrays = read(&self.input, &graph.inputs)?;
        let (graph, fed) = bound(graph, arrays);
        let network = Network::new(graph, &Device::flex()).map_err(refuse)?;
        let inputs = fed
            .into_iter()
            .map(|(name, data)| (name, Value::from_data(data, &Device::flex())));
        let taps: Vec<&str> = self.tap.iter().map(String::as_str).collect();
        let outputs = network.run(inputs, &taps, Mode::Inference).map_err(refuse)?;
        write(&self.output, outputs.iter())?;
        for (name, value) in outputs.iter() {
            writeln!(out, "{name} {:?}", value.dims())?;
        }
        Ok(())
    }
}

/// A node of a network in its training form: `training_mode = 1` means the statistics of the batch,
/// as the file has it. Elsewhere Potstill itself says what a network is run for.
#[derive(Clone, Debug)]
struct InTraining {
    op: Box<dyn Op>,
    /// The share of the old statistics in the new.
    momentum: f32,
}

impl InTraining {
    /// The new variance as ONNX has it, from the one that PyTorch has, whose share of the batch is
    /// larger by count / (count − 1).
    fn biased(&self, new: &Value, old: &Value, count: f32) -> Option<Value> {
        let pairs = new.to_floats()?.into_iter().zip(old.to_floats()?);
        let biased = pairs.map(|(new, old)| {
            let kept = self.momentum * old;
            kept + (new - kept) * (count - 1.0).max(1.0) / count.max(1.0)
        });
        let data = TensorData::new(biased.collect(), new.dims());
        Some(Value::from_data(data, &new.device()))
    }
}

impl Op for InTraining {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        self.op.infer(inputs)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let context = RunContext {
            mode: Mode::Training,
            ..context.clone()
        };
        let mut made = self.op.run(inputs, &context)?;
        if let ([_, _, new], Some(x), Some(old)) =
            (made.as_mut_slice(), inputs.optional(0), inputs.optional(4))
        {
            let count = (x.len() / x.dims().get(1).copied().unwrap_or(1).max(1)) as f32;
            *new = self.biased(new, old, count).unwrap_or_else(|| new.clone());
        }
        Ok(made)
    }
}

/// Has nodes that are written for training run so.
fn as_written(graph: &mut Graph) {
    for node in &mut graph.nodes {
        let trains = matches!(node.attributes.get("training_mode"), Some(Attribute::Int(1)));
        if trains && node.op.name() == "BatchNormalization" {
            let momentum = match node.attributes.get("momentum") {
                Some(Attribute::Float(momentum)) => *momentum,
                _ => 0.9,
            };
            let op = node.op.clone();
            node.op = Box::new(InTraining { op, momentum });
        }
    }
}

/// Inputs that are no floats, and floats that shapes follow from, as constants of the graph: this
/// is one run, so that axes, extents and scales may be among its inputs. What is left is fed.
fn bound(mut graph: Graph, arrays: Vec<(String, TensorData)>) -> (Graph, Vec<(String, TensorData)>) {
    let (constants, fed): (Vec<_>, Vec<_>) = arrays
        .into_iter()
        .partition(|(name, data)| !data.dtype().is_float() || decides_shapes(&graph, name));
    for (name, data) in constants {
        graph.inputs.retain(|input| input.name != name);
        let role = Role::Constant;
        graph.tensors.insert(name, StoredTensor { role, data });
    }
    (graph, fed)
}

/// Whether a float is read where an operator takes extents from.
fn decides_shapes(graph: &Graph, name: &str) -> bool {
    graph.nodes.iter().any(|node| {
        let read = |places: &[usize]| {
            let inputs = places.iter().filter_map(|place| node.inputs.get(*place));
            inputs.into_iter().any(|input| input == name)
        };
        match node.op.name() {
            "Resize" => read(&[1, 2]),
            "Upsample" => read(&[1]),
            "Range" => read(&[0, 1, 2]),
            _ => false,
        }
    })
}

fn read(path: &Path, declared: &[ValueInfo]) -> Result<Vec<(String, TensorData)>, CliError> {
    let file = File::open(path).map_err(|source| RunError::read(path, source))?;
    let refuse = |reason: String| CliError::Arrays {
        path: path.to_owned(),
        reason,
    };
    let mut archive =
        NpzReader::new(BufReader::new(file)).map_err(|error| refuse(format!("no .npz archive: {error}")))?;
    let names = archive.names();
    let mut inputs = Vec::with_capacity(declared.len());
    for input in declared {
        let array = archive
            .array(&input.name)
            .map_err(|error| refuse(format!("array `{}`: {error}", input.name)))?;
        let Some(array) = array else {
            return Err(CliError::NoArray {
                path: path.to_owned(),
                name: input.name.clone(),
                near: nearest(&input.name, names.iter().map(String::as_str), 3),
            });
        };
        inputs.push((input.name.clone(), value(array, input, &refuse)?));
    }
    Ok(inputs)
}

/// An array as what the file declares its input to be: any float for floats, any integer for
/// integers.
fn value<R: std::io::Read>(
    array: NpyFile<R>,
    input: &ValueInfo,
    refuse: &impl Fn(String) -> CliError,
) -> Result<TensorData, CliError> {
    let kind = input.element.map_or(Kind::Float, |element| element.kind());
    let dtype = array.dtype().descr();
    let data = elements(array).map_err(|error| refuse(format!("array `{}`: {error}", input.name)))?;
    let fits = data.as_ref().is_some_and(|data| match kind {
        Kind::Float => data.dtype().is_float(),
        Kind::Int => data.dtype().is_int() || data.dtype().is_uint(),
        Kind::Bool => data.dtype().is_bool(),
    });
    match data {
        Some(data) if fits => Ok(data),
        _ => {
            let expected = match kind {
                Kind::Float => "float16, float32 or float64",
                Kind::Int => "integers",
                Kind::Bool => "bool",
            };
            Err(refuse(format!(
                "array `{}` has type {dtype}, expected {expected}",
                input.name
            )))
        }
    }
}

fn write<'a>(path: &Path, values: impl Iterator<Item = (&'a str, &'a Value)>) -> Result<(), CliError> {
    archive(values)
        .and_then(|bytes| write_whole(path, |file| file.write_all(&bytes)))
        .map_err(|source| RunError::write(path, source).into())
}

/// The bytes of an .npz archive. In memory, because the archive's writer ends a file without a word
/// of what the disk refuses.
fn archive<'a>(values: impl Iterator<Item = (&'a str, &'a Value)>) -> std::io::Result<Vec<u8>> {
    let mut archive = NpzWriter::new(Cursor::new(Vec::new()));
    for (name, value) in values {
        let shape = value.dims();
        let data = value.clone().into_data();
        match value.kind() {
            Kind::Float => archive.write(name, &shape, data.iter::<f32>())?,
            Kind::Int => archive.write(name, &shape, data.iter::<i64>())?,
            Kind::Bool => {
                let data = data.convert_dtype(DType::Bool(BoolStore::Native));
                archive.write(name, &shape, data.iter::<bool>())?;
            }
        }
    }
    Ok(archive.finish()?.into_inner())
}
