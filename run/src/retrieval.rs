//! Finding pictures by a network's features: `eval` on a data set for retrieval, and the end of a
//! run on one.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use potstill_core::data::{Pipeline, RetrievalTest, Sightings, Split, dataset};
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::task::retrieval::{Features, retrieve};
use potstill_core::task::{Distance, Retrieval};
use potstill_core::value::{Kind, Value};

use crate::config::DataConfig;
use crate::error::RunError;
use crate::evaluation::test_loader;

/// A data set's queries and gallery, and how they are fed.
#[derive(Clone)]
pub struct Search {
    test: RetrievalTest,
    limit: Option<usize>,
}

impl Search {
    /// Queries and gallery of a data set that is for retrieval; nothing for others. A limit holds
    /// for the queries.
    ///
    /// # Errors
    /// A data set that is unknown, missing or damaged.
    pub fn open(config: &DataConfig) -> Result<Option<Self>, RunError> {
        let Some(open) = dataset(&config.name)?.retrieval else {
            return Ok(None);
        };
        Ok(Some(Self {
            test: open(&config.spec())?,
            limit: config.limit,
        }))
    }

    /// `[channels, height, width]` of the pictures that a network is fed.
    ///
    /// # Errors
    /// Transforms that do not fit the pictures.
    pub fn picture(&self, pipeline: &Pipeline) -> Result<[usize; 3], RunError> {
        let preparation = pipeline.resolve(self.test.query.source.as_ref(), Split::Test)?;
        Ok(preparation.shape())
    }

    /// What a network finds by the value named `features`. `path` is for messages.
    ///
    /// # Errors
    /// A value that the network does not have or that is none of numbers per picture; a picture
    /// that cannot be read.
    pub fn measure(
        &self,
        path: &Path,
        network: &Network,
        features: &str,
        distance: Distance,
        feed: &Feed<'_>,
    ) -> Result<Retrieval, RunError> {
        let refuse = |source| RunError::Network {
            path: path.to_owned(),
            source,
        };
        network.graph().check_value(features).map_err(refuse)?;
        let extract = |pictures: Tensor<4>| -> Result<Tensor<2>, RunError> {
            let batch = pictures.dims()[0];
            let outputs = network
                .forward(Value::from(pictures), &[features], Mode::Inference)
                .map_err(refuse)?;
            let value = outputs
                .get(features)
                .map_err(potstill_core::plugin::PluginError::from)?;
            let dims = value.dims();
            if value.kind() != Kind::Float || dims.first() != Some(&batch) || value.is_empty() {
                return Err(RunError::Flag {
                    flag: "--features",
                    got: features.to_owned(),
                    reason: format!("is {dims:?} for {batch} pictures, expected numbers for each of them"),
                });
            }
            Ok(value.clone().reshape(&[batch, value.len() / batch]).float())
        };
        let of = |pictures: &Sightings, limit| -> Result<Features, RunError> {
            let source = &pictures.source;
            let loader = test_loader(source, feed.pipeline, limit, feed.workers, feed.device)?;
            Features::extract(&loader, &pictures.sightings, extract)
        };
        let query = of(&self.test.query, self.limit)?;
        Ok(retrieve(&query, &of(&self.test.gallery, None)?, distance)?)
    }
}

/// How pictures come to a network.
#[derive(Clone, Copy)]
pub struct Feed<'a> {
    /// Transforms and normalisation.
    pub pipeline: &'a Pipeline,
    /// Threads that prepare pictures.
    pub workers: Option<usize>,
    /// Where the network is.
    pub device: &'a Device,
}
