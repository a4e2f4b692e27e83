//! `potstill eval`: how much an ONNX file gets right.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use indexmap::IndexMap;
use potstill_core::data::Split;
use potstill_teachers::{Teacher, decode_file};
use serde::Serialize;

use crate::config::{DataConfig, DataFlags, DeviceFlags};
use crate::error::CliError;
use crate::prepare;
use crate::table::{Format, json, table};

/// Evaluate an ONNX classifier on the test split of a data set.
///
/// A student that Potstill exported is fed as its metadata says; any other file as is usual for the data set.
#[derive(Debug, Args)]
pub struct Eval {
    /// ONNX file.
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    top1: f64,
    top5: f64,
    samples: usize,
    loss: f64,
}

impl Eval {
    /// Evaluates and prints.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let mut config = DataConfig::default();
        self.data.apply(&mut config);
        let graph = decode_file(&self.file).map_err(|source| CliError::Import {
            path: self.file.clone(),
            source,
        })?;
        self.preprocess_as_stated(&graph.model.metadata, &mut config)?;
        let choice = self.device.device.as_deref().unwrap_or("auto");
        let device = prepare::device(choice, self.device.threads)?.device;
        let source = prepare::split(&config, Split::Test)?;
        let loader = prepare::test_loader(
            &source,
            &config.pipeline()?,
            config.limit,
            self.device.threads,
            &device,
        )?;
        let classifier = Teacher::new(&self.file, graph, loader.image_shape(), &device)?;
        classifier.check_classes(source.classes().len())?;
        let evaluation = prepare::evaluate_classifier(&classifier, &loader)?;
        let report = Report {
            top1: evaluation.top1,
            top5: evaluation.top5,
            samples: evaluation.samples,
            loss: evaluation.loss,
        };
        if self.format == Format::Json {
            return json(out, &report);
        }
        let mut rows = table(["file", "top-1", "top-5", "loss", "pictures"], 1);
        rows.add_row([
            self.file.display().to_string(),
            format!("{:.2} %", report.top1),
            format!("{:.2} %", report.top5),
            format!("{:.4}", report.loss),
            report.samples.to_string(),
        ]);
        writeln!(out, "{rows}")?;
        Ok(())
    }

    /// A student that Potstill exported says how its pictures were prepared; other files get what is usual for the data set.
    fn preprocess_as_stated(
        &self,
        metadata: &IndexMap<String, String>,
        config: &mut DataConfig,
    ) -> Result<(), CliError> {
        let numbers = |key: &'static str| -> Result<Option<Vec<f32>>, CliError> {
            let Some(text) = metadata.get(key) else {
                return Ok(None);
            };
            let numbers: Result<Vec<f32>, _> = text.split(',').map(str::parse).collect();
            let refuse = |_| CliError::Metadata {
                path: self.file.clone(),
                key,
                got: text.clone(),
                expected: "numbers with commas between",
            };
            numbers.map(Some).map_err(refuse)
        };
        config.mean = numbers("potstill.mean")?;
        config.std = numbers("potstill.std")?;
        config.test = metadata
            .get("potstill.transforms")
            .map(|text| text.split_whitespace().map(str::to_owned).collect());
        Ok(())
    }
}
