//! A trained student as a file: with what whoever deploys it must know, as ONNX metadata.

use std::path::Path;

use potstill_core::graph::Graph;
use potstill_exporters::export::Written;
use potstill_exporters::{Export, Precision, Provenance};

use crate::config::RunConfig;
use crate::error::CliError;
use crate::prepare::Data;
use crate::preprocessing;

/// Writes a trained student in the precision asked for; `member` says which of several it is.
///
/// # Errors
/// An export that fails its check, a disk that refuses.
pub fn export_student(
    config: &RunConfig,
    graph: &Graph,
    data: &Data,
    member: Option<&str>,
    top1: Option<f64>,
    precision: Precision,
    path: &Path,
) -> Result<Written, CliError> {
    let mut provenance = Provenance::new();
    let mut say = |key: &str, value: String| {
        provenance.insert(format!("potstill.{key}"), value);
    };
    say("version", env!("CARGO_PKG_VERSION").to_owned());
    say("student", config.student_names());
    if let Some(member) = member {
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
    for (index, plugin) in config.plugins()?.iter().enumerate() {
        say(&format!("plugin.{index}"), plugin.to_string());
    }
    for (index, teacher) in config.teacher.iter().enumerate() {
        let name = teacher
            .file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        say(&format!("teacher.{index}"), name.unwrap_or_default());
    }
    if let Some(top1) = top1 {
        say("top1", format!("{top1:.2}"));
    }
    let export = Export {
        opset: config.export.opset,
        fold: config.export.fold,
        precision,
        verify: true,
        provenance,
    };
    Ok(export.write(graph, path)?)
}
