//! `potstill run`: an ONNX file on arrays.

use std::fs::File;
use std::io::{BufReader, Cursor, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{BoolStore, DType, Device, TensorData};
use clap::Args;
use potstill_core::files::write_whole;
use potstill_core::graph::ValueInfo;
use potstill_core::names::nearest;
use potstill_core::network::Network;
use potstill_core::npz::{NpyFile, NpzReader, NpzWriter, Order};
use potstill_core::op::Mode;
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
        let graph = decode_file(&self.file).map_err(|source| RunError::Import {
            path: self.file.clone(),
            source,
        })?;
        let refuse = |source| RunError::Network {
            path: self.file.clone(),
            source,
        };
        let declared = graph.inputs.clone();
        let network = Network::new(graph, &Device::flex()).map_err(refuse)?;
        let inputs = read(&self.input, &declared)?;
        let taps: Vec<&str> = self.tap.iter().map(String::as_str).collect();
        let outputs = network.run(inputs, &taps, Mode::Inference).map_err(refuse)?;
        write(&self.output, outputs.iter())?;
        for (name, value) in outputs.iter() {
            writeln!(out, "{name} {:?}", value.dims())?;
        }
        Ok(())
    }
}

fn read(path: &Path, declared: &[ValueInfo]) -> Result<Vec<(String, Value)>, CliError> {
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

fn value<R: std::io::Read>(
    array: NpyFile<R>,
    input: &ValueInfo,
    refuse: &impl Fn(String) -> CliError,
) -> Result<Value, CliError> {
    let shape: Vec<usize> = array.shape().iter().map(|extent| *extent as usize).collect();
    if array.order() != Order::C {
        return Err(refuse(format!(
            "array `{}` is in Fortran order, expected C order",
            input.name
        )));
    }
    let kind = input.element.map_or(Kind::Float, |element| element.kind());
    let dtype = array.dtype().descr();
    let fail = |error: std::io::Error| refuse(format!("array `{}`: {error}", input.name));
    let expected = |what: &str| {
        refuse(format!(
            "array `{}` has type {dtype}, expected {what}",
            input.name
        ))
    };
    let data = match kind {
        Kind::Float => match array.try_data::<f32>() {
            Ok(data) => TensorData::new(data.collect::<Result<Vec<f32>, _>>().map_err(fail)?, shape),
            Err(array) => {
                let data = array
                    .try_data::<f64>()
                    .map_err(|_| expected("float32 or float64"))?;
                TensorData::new(data.collect::<Result<Vec<f64>, _>>().map_err(fail)?, shape)
            }
        },
        Kind::Int => match array.try_data::<i64>() {
            Ok(data) => TensorData::new(data.collect::<Result<Vec<i64>, _>>().map_err(fail)?, shape),
            Err(array) => {
                let data = array.try_data::<i32>().map_err(|_| expected("int64 or int32"))?;
                TensorData::new(data.collect::<Result<Vec<i32>, _>>().map_err(fail)?, shape)
            }
        },
        Kind::Bool => {
            let data = array.try_data::<bool>().map_err(|_| expected("bool"))?;
            TensorData::new(data.collect::<Result<Vec<bool>, _>>().map_err(fail)?, shape)
        }
    };
    Ok(Value::from_data(data, &Device::flex()))
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
