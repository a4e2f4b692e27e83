//! `potstill export`: the student of a run as an ONNX file, written anew; or any ONNX file in
//! another precision.

use std::io::Write;
use std::path::PathBuf;

use burn::tensor::Device;
use clap::{Args, ValueEnum};
use comfy_table::Table;
use potstill_core::graph::Graph;
use potstill_core::task::Evaluation;
use potstill_core::train::checkpoint::Which;
use potstill_exporters::export::Made;
use potstill_exporters::quantise::{Calibration, Method, WeightBits};
use potstill_exporters::{Export, ExportPrecision, Provenance};
use potstill_run::evaluation::{evaluate_classifier, evaluate_in_tract};
use potstill_run::{Data, DataConfig, Restored, RunError, RunFolder, preprocessing};
use potstill_teachers::{Classifier, decode, decode_file};

use crate::error::CliError;
use crate::flags::DataFlags;
use crate::table::{bytes, table};

/// Pictures on which no number of a file in fp16 may grow beyond what it holds.
const LOOKED_AT: usize = 8;

/// Write the student of a run as ONNX again: another checkpoint, another operator set, in half
/// precision or 8-bit integers.
#[derive(Debug, Args)]
pub struct ExportRun {
    /// Folder of the run, or an ONNX file.
    #[arg(value_name = "RUN|FILE")]
    run: PathBuf,
    /// ONNX file to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Which checkpoint.
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: CheckpointName,
    /// Which of several students: one's name, best or ensemble; the run's result where not given.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    /// ONNX's operator set; the run's or the file's where not given.
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Keep BatchNorm as nodes of its own.
    #[arg(long)]
    no_fold: bool,
    /// In which numbers the file computes; fp16 and int8 are compared with fp32 on the test split.
    #[arg(long, value_enum, default_value = "fp32")]
    precision: PrecisionName,
    /// How int8 finds the range of a value.
    #[arg(long, value_enum, default_value = "min-max")]
    calibration: CalibrationName,
    /// Training pictures on which int8 finds it.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    calibration_samples: u32,
    /// Give the weights of int8 seven bits, for x86 processors without VNNI, where ONNX Runtime
    /// adds products in 16 bits.
    #[arg(long)]
    reduce_range: bool,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CheckpointName {
    Best,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PrecisionName {
    Fp32,
    Fp16,
    Int8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CalibrationName {
    MinMax,
    Percentile,
    Entropy,
}

impl From<CalibrationName> for Method {
    fn from(name: CalibrationName) -> Self {
        match name {
            CalibrationName::MinMax => Method::MinMax,
            CalibrationName::Percentile => Method::Percentile,
            CalibrationName::Entropy => Method::Entropy,
        }
    }
}

impl ExportRun {
    /// Exports and says what was written.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        if self.run.is_file() {
            return self.export_file(out);
        }
        let (folder, mut config) = RunFolder::existing(&self.run)?;
        self.data.apply(&mut config.data);
        let member = self.member.as_deref();
        let mut restored = Restored::of(&folder, config, self.checkpoint.into(), member)?;
        let export = &mut restored.config.export;
        export.opset = self.opset.unwrap_or(export.opset);
        export.fold &= !self.no_fold;
        export.reduce_range |= self.reduce_range;
        let opset = export.opset;
        let precision = self.precision(&restored.data, restored.config.seed)?;
        let made = restored.student().make(precision, &self.output)?;
        let rows = self.compare(&made, restored.graph, &restored.data)?;
        self.write(out, &made, opset, rows)
    }

    /// Exports a file that no run has made.
    fn export_file(&self, out: &mut impl Write) -> Result<(), CliError> {
        let mut graph = decode_file(&self.run).map_err(|source| RunError::Import {
            path: self.run.clone(),
            source,
        })?;
        // Each precision is made of fp32.
        graph.single_precision().map_err(|source| RunError::Network {
            path: self.run.clone(),
            source,
        })?;
        let mut config = DataConfig::default();
        self.data.apply(&mut config);
        let mut provenance = Provenance::new();
        let mut data = None;
        if self.precision != PrecisionName::Fp32 {
            let pipeline = preprocessing::stated(&self.run, &graph.model.metadata, &mut config)?;
            let opened = Data::open(&config)?.with_pipeline(pipeline);
            for (key, value) in preprocessing::state(&opened.pipeline, &self.output)? {
                provenance.insert(format!("potstill.{key}"), value);
            }
            data = Some(opened);
        }
        let precision = match &data {
            Some(data) => self.precision(data, 0)?,
            None => ExportPrecision::Fp32,
        };
        let export = Export {
            opset: self.opset.unwrap_or(graph.model.opset()),
            fold: !self.no_fold,
            precision,
            weights: if self.reduce_range {
                WeightBits::Seven
            } else {
                WeightBits::Eight
            },
            verify: true,
            provenance,
        };
        let made = export.make(&graph)?;
        let rows = match data {
            Some(data) => self.compare(&made, graph, &data)?,
            None => None,
        };
        self.write(out, &made, export.opset, rows)
    }

    fn precision(&self, data: &Data, seed: u64) -> Result<ExportPrecision, CliError> {
        Ok(match self.precision {
            PrecisionName::Fp32 => ExportPrecision::Fp32,
            PrecisionName::Fp16 => ExportPrecision::Fp16(data.calibration(LOOKED_AT, seed)?),
            PrecisionName::Int8 => ExportPrecision::Int8(Calibration {
                method: self.calibration.into(),
                pictures: data.calibration(self.calibration_samples as usize, seed)?,
            }),
        })
    }

    /// Writes the file and says so, with the comparison where there is one.
    fn write(
        &self,
        out: &mut impl Write,
        made: &Made,
        opset: i64,
        rows: Option<Table>,
    ) -> Result<(), CliError> {
        let written = made.write(&self.output).map_err(RunError::from)?;
        writeln!(
            out,
            "{}: {}, opset {opset}, {} BatchNorms folded; tract agrees to {:.1e}",
            self.output.display(),
            bytes(written.bytes as u64),
            written.folded,
            written.difference.unwrap_or(f64::NAN)
        )?;
        if let Some(rows) = rows {
            writeln!(out, "{rows}")?;
        }
        Ok(())
    }

    /// Accuracy before and after, where the precision is another one.
    fn compare(&self, made: &Made, before: Graph, data: &Data) -> Result<Option<Table>, CliError> {
        let name = match self.precision {
            PrecisionName::Fp32 => return Ok(None),
            PrecisionName::Fp16 => "fp16",
            PrecisionName::Int8 => "int8",
        };
        let device = Device::flex();
        let test = data.test_loader(None, &device)?;
        let picture = test.image_shape();
        let before = Classifier::new(&self.run, before, picture, &device)?;
        let graph = decode(&made.content, None).map_err(|source| RunError::Import {
            path: self.output.clone(),
            source,
        })?;
        let after = Classifier::new(&self.output, graph, picture, &device)?;
        let mut rows = table(["network", "top-1", "top-5", "loss", "pictures"], 1);
        let mut evaluations = vec![
            ("fp32".to_owned(), evaluate_classifier(&before, &test)?),
            (name.to_owned(), evaluate_classifier(&after, &test)?),
        ];
        // tract is too slow in half precision on x86 for a whole split; it has seen the drawn
        // pictures.
        if self.precision == PrecisionName::Int8 {
            evaluations.push((
                format!("{name} in tract"),
                evaluate_in_tract(&made.content, &after, &test)?,
            ));
        }
        for (name, evaluation) in evaluations {
            let Evaluation {
                top1,
                top5,
                loss,
                samples,
            } = evaluation;
            rows.add_row([
                name,
                format!("{top1:.2} %"),
                format!("{top5:.2} %"),
                format!("{loss:.4}"),
                samples.to_string(),
            ]);
        }
        Ok(Some(rows))
    }
}

impl From<CheckpointName> for Which {
    fn from(name: CheckpointName) -> Self {
        match name {
            CheckpointName::Best => Which::Best,
            CheckpointName::Last => Which::Last,
        }
    }
}
