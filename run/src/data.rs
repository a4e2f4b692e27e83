//! The data of a run: both splits of a data set, opened once, with what is made of them.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use potstill_core::data::{Loader, LoaderOptions, Pipeline, Source, Split, Whitening, open};
use potstill_core::network::Network;
use potstill_core::task::{Distance, Retrieval};
use potstill_core::train::{CacheSetup, Pictures};

use crate::config::{DataConfig, RunConfig};
use crate::error::RunError;
use crate::evaluation::{AHEAD, test_loader, threads};
use crate::folder::RunFolder;
use crate::retrieval::{Feed, Search};

/// The folder of teachers' outputs, beside the run folder.
const TEACHER_CACHE: &str = "teacher-cache";
/// Pictures that are calibrated on at once.
const CALIBRATION_BATCH: usize = 64;

/// Both splits of a data set, opened.
pub struct Data {
    /// Training pictures.
    pub train: Arc<dyn Source>,
    /// Pictures for evaluation.
    pub test: Arc<dyn Source>,
    /// Transforms and normalisation.
    pub pipeline: Pipeline,
    /// Queries and gallery, where the data set is for retrieval.
    search: Option<Search>,
    config: DataConfig,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Opens one split.
///
/// # Errors
/// A data set that is unknown, missing or damaged.
pub fn split(config: &DataConfig, split: Split) -> Result<Arc<dyn Source>, RunError> {
    Ok(open(&config.spec(), split)?)
}

impl Data {
    /// Opens both splits.
    ///
    /// # Errors
    /// A data set that is unknown, missing or damaged, or a transform that does not exist.
    pub fn open(config: &DataConfig) -> Result<Self, RunError> {
        Ok(Self {
            train: split(config, Split::Train)?,
            test: split(config, Split::Test)?,
            pipeline: config.pipeline()?,
            search: Search::open(config)?,
            config: config.clone(),
        })
    }

    /// With another preparation of its pictures.
    pub fn with_pipeline(mut self, pipeline: Pipeline) -> Self {
        self.pipeline = pipeline;
        self
    }

    /// Whether a run in this folder begins with fitting the pipeline's `zca`, which takes a while.
    pub fn fits_whitening(&self, folder: &Path) -> bool {
        self.pipeline.whitens() && !folder.join(Whitening::FILE).exists()
    }

    /// With what the pipeline's `zca` needs, from the folder of the run, or fitted and left there.
    ///
    /// # Errors
    /// Pictures that cannot be read, or a file in the folder that is another run's.
    pub fn whitened(mut self, folder: &RunFolder) -> Result<Self, RunError> {
        if !self.fits_whitening(folder.path()) {
            return self.whitened_by(folder);
        }
        let whitening = Whitening::fit(self.train.as_ref(), &self.pipeline, self.config.limit)?;
        self.pipeline.whitening = Some(Arc::new(whitening));
        self.keep_whitening(folder)?;
        Ok(self)
    }

    /// With what the pipeline's `zca` needs, from the folder of a run that has begun.
    ///
    /// # Errors
    /// A file that is missing, damaged or for other pictures.
    pub fn whitened_by(mut self, folder: &RunFolder) -> Result<Self, RunError> {
        if self.pipeline.whitens() {
            let whitening = Whitening::read(&folder.join(Whitening::FILE), None)?;
            self.pipeline.whitening = Some(Arc::new(whitening));
        }
        Ok(self)
    }

    /// Leaves the whitening, if there is one, in the folder of a run.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn keep_whitening(&self, folder: &RunFolder) -> Result<(), RunError> {
        if let Some(whitening) = &self.pipeline.whitening {
            whitening.write(&folder.join(Whitening::FILE))?;
        }
        Ok(())
    }

    /// What a network finds by the features that its classifier reads, where the data set is for
    /// retrieval and the classifier is one linear layer.
    ///
    /// # Errors
    /// Pictures that cannot be read, or none to be found.
    pub fn retrieval(
        &self,
        network: &Network,
        logits: &str,
        workers: Option<usize>,
        device: &Device,
    ) -> Result<Option<Retrieval>, RunError> {
        let (Some(search), Some(features)) = (&self.search, network.graph().features_before(logits)) else {
            return Ok(None);
        };
        let feed = Feed {
            pipeline: &self.pipeline,
            workers,
            device,
        };
        let path = Path::new(&network.graph().name);
        let found = search.measure(path, network, features, Distance::default(), &feed)?;
        Ok(Some(found))
    }

    /// `[channels, height, width]` of a training picture as a network takes it.
    ///
    /// # Errors
    /// Transforms that do not fit the pictures.
    pub fn picture(&self) -> Result<[usize; 3], RunError> {
        Ok(self.pipeline.resolve(self.train.as_ref(), Split::Train)?.shape())
    }

    /// What whoever opened the data should know: files of the splits that were left out.
    pub fn notes(&self) -> Vec<String> {
        [&self.train, &self.test]
            .into_iter()
            .flat_map(|split| split.notes())
            .collect()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.train.classes().len()
    }

    /// Batches for training: shuffled and augmented from the seed.
    ///
    /// # Errors
    /// Transforms that do not fit the pictures.
    pub fn train_loader(&self, run: &RunConfig, device: &Device) -> Result<Loader, RunError> {
        let options = LoaderOptions {
            batch_size: run.training.batch_size,
            seed: run.seed,
            shuffle: true,
            threads: threads(run.threads),
            ahead: AHEAD,
            drop_last: false,
            limit: self.config.limit,
            views: run.training.teacher_cache,
        };
        Ok(Loader::new(
            self.train.clone(),
            &self.pipeline,
            Split::Train,
            options,
            device,
        )?)
    }

    /// The first pictures of training's order, prepared as test pictures are: what a network is
    /// calibrated on. Fewer where there are fewer.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub fn calibration(&self, samples: usize, seed: u64) -> Result<Vec<Tensor<4>>, RunError> {
        let options = LoaderOptions {
            batch_size: CALIBRATION_BATCH.min(samples),
            seed,
            shuffle: true,
            threads: threads(None),
            ahead: 1,
            drop_last: false,
            limit: self.config.limit,
            views: 0,
        };
        let device = Device::flex();
        let loader = Loader::new(self.train.clone(), &self.pipeline, Split::Test, options, &device)?;
        let mut pictures = Vec::new();
        let mut left = samples;
        for batch in loader.iter() {
            let images = batch?.images;
            let count = images.dims()[0].min(left);
            pictures.push(images.narrow(0, 0, count));
            left -= count;
            if left == 0 {
                break;
            }
        }
        Ok(pictures)
    }

    /// Where the outputs of a run's teachers are kept; `None` where the run keeps none or has no
    /// teacher.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub fn teacher_cache(&self, run: &RunConfig) -> Result<Option<CacheSetup>, RunError> {
        let views = run.training.teacher_cache;
        if views == 0 || run.teacher.is_empty() {
            return Ok(None);
        }
        let samples = self.config.limit.unwrap_or(usize::MAX).min(self.train.len());
        let spec = self.config.spec();
        let pictures = Pictures::new(
            &spec,
            self.train.as_ref(),
            &self.pipeline,
            run.seed,
            views,
            samples,
        )?;
        let beside = || run.out.with_file_name(TEACHER_CACHE);
        let folder = run.training.teacher_cache_dir.clone().unwrap_or_else(beside);
        Ok(Some(CacheSetup {
            folder,
            precision: run.training.precision,
            pictures,
        }))
    }

    /// Batches for evaluation, in the data set's order.
    ///
    /// # Errors
    /// Transforms that do not fit the pictures.
    pub fn test_loader(&self, workers: Option<usize>, device: &Device) -> Result<Loader, RunError> {
        test_loader(&self.test, &self.pipeline, self.config.limit, workers, device)
    }
}
