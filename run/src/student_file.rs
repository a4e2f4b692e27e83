//! A trained student as a file: with what whoever deploys it must know, as ONNX metadata.

use std::path::Path;

use potstill_core::graph::Graph;
use potstill_exporters::export::{Made, Written};
use potstill_exporters::{Export, ExportPrecision, Provenance};

use crate::config::RunConfig;
use crate::data::Data;
use crate::error::RunError;
use crate::preprocessing;

/// A trained student, with what belongs to it.
#[derive(Clone, Copy)]
pub struct TrainedStudent<'a> {
    /// The run that has trained it.
    pub config: &'a RunConfig,
    /// What it was trained on.
    pub data: &'a Data,
    /// Its network.
    pub graph: &'a Graph,
    /// Which of several students it is.
    pub member: Option<&'a str>,
    /// Its accuracy on the test split, in percent, where it is known.
    pub top1: Option<f64>,
}

impl TrainedStudent<'_> {
    /// Writes it as ONNX in the precision asked for.
    ///
    /// # Errors
    /// An export that fails its check, a disk that refuses.
    pub fn write(&self, precision: ExportPrecision, path: &Path) -> Result<Written, RunError> {
        Ok(self.make(precision, path)?.write(path)?)
    }

    /// Makes its file in the precision asked for, checked, for `path`.
    ///
    /// # Errors
    /// An export that fails its check; whitened pictures whose matrix cannot be laid beside it.
    pub fn make(&self, precision: ExportPrecision, path: &Path) -> Result<Made, RunError> {
        let export = Export {
            precision,
            provenance: self.provenance(path)?,
            ..self.config.export.export()
        };
        Ok(export.make(self.graph)?)
    }

    fn provenance(&self, path: &Path) -> Result<Provenance, RunError> {
        let Self { config, data, .. } = *self;
        let mut provenance = Provenance::new();
        let mut say = |key: &str, value: String| {
            provenance.insert(format!("potstill.{key}"), value);
        };
        say("version", env!("CARGO_PKG_VERSION").to_owned());
        say("student", config.student_names());
        if let Some(member) = self.member {
            say("member", member.to_owned());
        }
        say("data", config.data.name.clone());
        say(
            "classes",
            serde_json::to_string(data.train.classes()).unwrap_or_default(),
        );
        for (key, value) in preprocessing::state(&data.pipeline, path)? {
            say(key, value);
        }
        say("seed", config.seed.to_string());
        say("epochs", config.training.epochs.to_string());
        for (index, plugin) in config.plugin.iter().enumerate() {
            say(&format!("plugin.{index}"), plugin.to_string());
        }
        for (index, teacher) in config.teacher.iter().enumerate() {
            let name = teacher
                .file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            say(&format!("teacher.{index}"), name.unwrap_or_default());
        }
        if let Some(top1) = self.top1 {
            say("top1", format!("{top1:.2}"));
        }
        Ok(provenance)
    }
}
