//! What to learn: the table `[data]`.

use std::path::PathBuf;

use potstill_core::data::{DataError, DataSpec, GlyphOptions, Normalisation, Pipeline, Transform, dataset};
use serde::{Deserialize, Serialize};

use crate::error::RunError;

/// What to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// The data set.
    pub name: String,
    /// The folder or archive that holds it.
    pub dir: Option<PathBuf>,
    /// Fetches what the folder lacks from the data set's public home.
    pub download: bool,
    /// Uses the first so many pictures of each split.
    pub limit: Option<usize>,
    /// Transforms of training pictures; the data set's own where not given.
    pub train: Option<Vec<String>>,
    /// Transforms of test pictures; the data set's own where not given.
    pub test: Option<Vec<String>>,
    /// Mean of each channel, of pixels in 0 to 1; the data set's own where not given.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel; the data set's own where not given.
    pub std: Option<Vec<f32>>,
    /// What takes the place of mean and standard deviation: `gcn`, `zca`, or both in this order.
    pub normalise: Option<Vec<String>>,
    /// What `glyphs` draws.
    pub glyphs: GlyphOptions,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: "glyphs".to_owned(),
            dir: None,
            download: false,
            limit: None,
            train: None,
            test: None,
            mean: None,
            std: None,
            normalise: None,
            glyphs: GlyphOptions::default(),
        }
    }
}

impl DataConfig {
    /// As the core opens it.
    pub fn spec(&self) -> DataSpec {
        DataSpec {
            name: self.name.clone(),
            dir: self.dir.clone(),
            download: self.download,
            glyphs: self.glyphs.clone(),
        }
    }

    /// Transforms and normalisation.
    ///
    /// # Errors
    /// An unknown data set, transform or normalisation; `normalise` beside a mean or standard
    /// deviation.
    pub fn pipeline(&self) -> Result<Pipeline, RunError> {
        let mut pipeline = dataset(&self.name)?.pipeline();
        let parse = |texts: &Vec<String>| -> Result<Vec<Transform>, RunError> {
            Ok(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
        };
        if let Some(texts) = &self.train {
            pipeline.train = parse(texts)?;
        }
        if let Some(texts) = &self.test {
            pipeline.test = parse(texts)?;
        }
        if let Some(mean) = &self.mean {
            pipeline.mean = mean.clone();
        }
        if let Some(std) = &self.std {
            pipeline.std = std.clone();
        }
        if let Some(texts) = self.normalise.as_ref().filter(|texts| !texts.is_empty()) {
            for (option, given) in [("mean", &self.mean), ("std", &self.std)] {
                if given.is_some() {
                    return Err(DataError::NormalisedTwice { option }.into());
                }
            }
            pipeline.normalise = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            Normalisation::check_all(&pipeline.normalise)?;
        }
        Ok(pipeline)
    }
}
