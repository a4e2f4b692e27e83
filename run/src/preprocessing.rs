//! What an ONNX file says of how its pictures are prepared: written by `export`, read by `eval`.
//!
//! Under `potstill.…`: `transforms`; then `mean` and `std`, or `normalise` in their place, and with
//! its `zca` the name of the file beside the ONNX file that holds the matrix (`whitening`) and that
//! file's SHA-256 (`whitening.sha256`).

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use potstill_core::data::{Pipeline, Whitening};

use crate::config::DataConfig;
use crate::error::RunError;

/// The entries for pictures prepared as test pictures of `pipeline` are; writes what they refer to
/// beside the ONNX file `path`.
///
/// # Errors
/// A disk that refuses, or a folder that holds the whitening of another run.
pub fn state(pipeline: &Pipeline, path: &Path) -> Result<Vec<(&'static str, String)>, RunError> {
    let numbers = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let mut entries = Vec::new();
    if pipeline.normalise.is_empty() {
        entries.push(("mean", numbers(&pipeline.mean)));
        entries.push(("std", numbers(&pipeline.std)));
    } else {
        let steps: Vec<String> = pipeline.normalise.iter().map(ToString::to_string).collect();
        entries.push(("normalise", steps.join(" ")));
    }
    if let Some(whitening) = &pipeline.whitening {
        let hash = whitening.write(&path.with_file_name(Whitening::FILE))?;
        entries.push(("whitening", Whitening::FILE.to_owned()));
        entries.push(("whitening.sha256", hash));
    }
    let transforms: Vec<String> = pipeline.test.iter().map(ToString::to_string).collect();
    entries.push(("transforms", transforms.join(" ")));
    Ok(entries)
}

/// How pictures for the ONNX file `path` with this metadata are prepared: as it states, and where
/// it states nothing, as is usual for the data set.
///
/// # Errors
/// Entries that cannot be read; a file of a whitening that is missing, damaged or another one.
pub fn stated(
    path: &Path,
    metadata: &IndexMap<String, String>,
    config: &mut DataConfig,
) -> Result<Pipeline, RunError> {
    let refuse = |key, got: &str, expected| RunError::Metadata {
        path: path.to_owned(),
        key,
        got: got.to_owned(),
        expected,
    };
    let numbers = |key: &'static str| -> Result<Option<Vec<f32>>, RunError> {
        let Some(text) = metadata.get(key) else {
            return Ok(None);
        };
        let numbers: Result<Vec<f32>, _> = text.split(',').map(str::parse).collect();
        numbers
            .map(Some)
            .map_err(|_| refuse(key, text, "numbers with commas between"))
    };
    let words = |key: &str| -> Option<Vec<String>> {
        let text = metadata.get(key)?;
        Some(text.split_whitespace().map(str::to_owned).collect())
    };
    config.mean = numbers("potstill.mean")?;
    config.std = numbers("potstill.std")?;
    config.normalise = words("potstill.normalise");
    config.test = words("potstill.transforms");
    let mut pipeline = config.pipeline()?;
    if pipeline.whitens() {
        let name = metadata.get("potstill.whitening").map_or("", String::as_str);
        if Path::new(name).file_name().is_none_or(|file| file != name) {
            return Err(refuse(
                "potstill.whitening",
                name,
                "the name of the file beside it that holds the matrix of `zca`",
            ));
        }
        let hash = metadata
            .get("potstill.whitening.sha256")
            .ok_or_else(|| refuse("potstill.whitening.sha256", "", "the SHA-256 of that file"))?;
        let beside = path.with_file_name(name);
        if !beside.is_file() {
            return Err(RunError::NoWhitening {
                network: path.to_owned(),
                path: beside,
            });
        }
        pipeline.whitening = Some(Arc::new(Whitening::read(&beside, Some(hash))?));
    }
    Ok(pipeline)
}
