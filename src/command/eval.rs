//! `potstill eval`: how much an ONNX file gets right.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use potstill_core::data::Split;
use potstill_core::graph::Graph;
use potstill_core::task::Distance;
use potstill_run::evaluation::{evaluate_classifier, test_loader};
use potstill_run::retrieval::{Feed, Search};
use potstill_run::{DataConfig, RunError, device, preprocessing, split, teachers};
use potstill_teachers::Classifier;
use serde::Serialize;

use crate::error::CliError;
use crate::flags::{DataFlags, DeviceFlags};
use crate::table::{Format, json, table};

/// Evaluate an ONNX classifier on the test split of a data set, or on its queries and gallery
/// (market1501).
///
/// A student that Potstill exported is fed as its metadata says; any other file as is usual for the
/// data set.
#[derive(Debug, Args)]
pub struct Eval {
    /// ONNX file, or a teacher as `potstill teachers` lists them.
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// Value that holds the features by which pictures are found, as `inspect` lists them; by
    /// default what the classifier reads.
    #[arg(long, value_name = "VALUE")]
    features: Option<String>,
    /// Distance by which pictures are found; by default cosine.
    #[arg(long, value_enum)]
    distance: Option<DistanceName>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// How far two features are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DistanceName {
    /// One minus the cosine of the angle between them.
    #[default]
    Cosine,
    /// The length of their difference.
    Euclidean,
}

impl From<DistanceName> for Distance {
    fn from(name: DistanceName) -> Self {
        match name {
            DistanceName::Cosine => Distance::Cosine,
            DistanceName::Euclidean => Distance::Euclidean,
        }
    }
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
        let device = device(choice, self.device.threads)?.device;
        let graph = teachers::graph(&self.file, &device)?;
        let pipeline = preprocessing::stated(&self.file, &graph.model.metadata, &mut config)?;
        if let Some(search) = Search::open(&config)? {
            let feed = Feed {
                pipeline: &pipeline,
                workers: self.device.threads,
                device: &device,
            };
            return self.find(out, graph, &search, &feed);
        }
        for (flag, given) in [
            ("--features", self.features.clone()),
            (
                "--distance",
                self.distance
                    .map(|distance| format!("{distance:?}").to_lowercase()),
            ),
        ] {
            if let Some(got) = given {
                return Err(RunError::Flag {
                    flag,
                    got,
                    reason: format!("is for retrieval, and `{}` is a data set of classes", config.name),
                }
                .into());
            }
        }
        let source = split(&config, Split::Test)?;
        for note in source.notes() {
            writeln!(std::io::stderr(), "note: {note}")?;
        }
        let loader = test_loader(&source, &pipeline, config.limit, self.device.threads, &device)?;
        let classifier = Classifier::new(&self.file, graph, loader.image_shape(), &device)?;
        classifier.check_classes(source.classes().len())?;
        let evaluation = evaluate_classifier(&classifier, &loader)?;
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

    /// Looks for the data set's queries in its gallery and prints what was found.
    fn find(
        &self,
        out: &mut impl Write,
        graph: Graph,
        search: &Search,
        feed: &Feed<'_>,
    ) -> Result<(), CliError> {
        let picture = search.picture(feed.pipeline)?;
        let classifier = Classifier::new(&self.file, graph, picture, feed.device)?;
        let graph = classifier.network.graph();
        let given = self.features.as_deref();
        let features = given.or_else(|| graph.features_before(classifier.logits()));
        let features = features.ok_or_else(|| CliError::NoFeatures {
            path: self.file.clone(),
        })?;
        let distance = self.distance.unwrap_or_default().into();
        let found = search.measure(&self.file, &classifier.network, features, distance, feed)?;
        if self.format == Format::Json {
            return json(out, &found);
        }
        let columns = ["file", "mAP", "rank-1", "rank-5", "rank-10", "queries", "gallery"];
        let mut rows = table(columns, 1);
        let share = |share: f64| format!("{share:.2} %");
        rows.add_row([
            self.file.display().to_string(),
            share(found.map),
            share(found.rank1),
            share(found.rank5),
            share(found.rank10),
            found.queries.to_string(),
            found.gallery.to_string(),
        ]);
        writeln!(out, "{rows}")?;
        Ok(())
    }
}
