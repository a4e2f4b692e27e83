//! `potstill eval`: how much an ONNX file gets right.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use potstill_core::data::Split;
use potstill_core::train::{TrainError, evaluate};
use potstill_teachers::Teacher;
use serde::Serialize;

use crate::config::{DataConfig, DataFlags, DeviceFlags};
use crate::error::CliError;
use crate::prepare;
use crate::table::{Format, json, table};

/// Evaluate an ONNX classifier on the test split of a data set.
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
        let teacher = Teacher::open(&self.file, loader.image_shape(), &device)?;
        teacher.check_classes(source.classes().len())?;
        let evaluation = evaluate(&loader, |pictures| -> Result<_, CliError> {
            let outputs = teacher.forward(pictures, &[]).map_err(TrainError::from)?;
            let logits = outputs
                .float(teacher.logits())
                .map_err(potstill_core::plugin::PluginError::from)?;
            Ok(logits)
        })?;
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
}
