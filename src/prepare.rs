//! From a configuration to what it names: device, data, teachers, student.

use potstill_core::data::{Loader, LoaderOptions, Pipeline, Source, Split, Whitening, open};
use potstill_core::device::{Resolved, resolve, set_threads};
use potstill_core::network::Network;
use potstill_core::train::{CacheSetup, Distance, Frozen, Pictures, Retrieval, TeacherCache};
use potstill_teachers::Teacher;

use burn::tensor::{Device, Tensor};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::config::{DataConfig, RunConfig};
use crate::error::CliError;
use crate::retrieval::{Feed, Search};
use crate::run_folder::RunFolder;
use crate::test_split::{AHEAD, test_loader, threads};

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

/// Opens one split.
///
/// # Errors
/// A data set that is unknown, missing or damaged.
pub fn split(config: &DataConfig, split: Split) -> Result<Arc<dyn Source>, CliError> {
    Ok(open(&config.spec(), split)?)
}

impl Data {
    /// Opens both splits.
    ///
    /// # Errors
    /// A data set that is unknown, missing or damaged, or a transform that does not exist.
    pub fn open(config: &DataConfig) -> Result<Self, CliError> {
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

    /// With what the pipeline's `zca` needs, from the folder of the run, or fitted and left there.
    ///
    /// # Errors
    /// Pictures that cannot be read, or a file in the folder that is another run's.
    pub fn whitened(mut self, folder: &RunFolder) -> Result<Self, CliError> {
        if !self.pipeline.whitens() || folder.join(Whitening::FILE).exists() {
            return self.whitened_by(folder);
        }
        writeln!(std::io::stderr(), "fitting zca on the training pictures")?;
        let whitening = Whitening::fit(self.train.as_ref(), &self.pipeline, self.config.limit)?;
        self.pipeline.whitening = Some(Arc::new(whitening));
        self.keep_whitening(folder)?;
        Ok(self)
    }

    /// With what the pipeline's `zca` needs, from the folder of a run that has begun.
    ///
    /// # Errors
    /// A file that is missing, damaged or for other pictures.
    pub fn whitened_by(mut self, folder: &RunFolder) -> Result<Self, CliError> {
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
    pub fn keep_whitening(&self, folder: &RunFolder) -> Result<(), CliError> {
        if let Some(whitening) = &self.pipeline.whitening {
            whitening.write(&folder.join(Whitening::FILE))?;
        }
        Ok(())
    }

    /// What a network finds by the features that its classifier reads, where the data set is for retrieval and the classifier is one linear layer.
    ///
    /// # Errors
    /// Pictures that cannot be read, or none to be found.
    pub fn retrieval(
        &self,
        network: &Network,
        logits: &str,
        workers: Option<usize>,
        device: &Device,
    ) -> Result<Option<Retrieval>, CliError> {
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

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.train.classes().len()
    }

    /// Batches for training: shuffled and augmented from the seed.
    ///
    /// # Errors
    /// Transforms that do not fit the pictures.
    pub fn train_loader(&self, run: &RunConfig, device: &Device) -> Result<Loader, CliError> {
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

    /// The first pictures of training's order, prepared as test pictures are: what a network is calibrated on. Fewer where there are fewer.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub fn calibration(&self, samples: usize, seed: u64) -> Result<Vec<Tensor<4>>, CliError> {
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

    /// Where the outputs of a run's teachers are kept; `None` where the run keeps none or has no teacher.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub fn teacher_cache(&self, run: &RunConfig) -> Result<Option<CacheSetup>, CliError> {
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
    pub fn test_loader(&self, workers: Option<usize>, device: &Device) -> Result<Loader, CliError> {
        test_loader(&self.test, &self.pipeline, self.config.limit, workers, device)
    }
}

/// Teachers as training uses them, each with the file that keeps its outputs, if there are files.
pub fn frozen(teachers: &[Teacher], caches: Vec<TeacherCache>) -> Vec<Frozen> {
    let mut caches = caches.into_iter().map(Arc::new);
    let frozen = |teacher: &Teacher| Frozen {
        network: teacher.network.clone(),
        logits: teacher.logits().to_owned(),
        cache: caches.next(),
    };
    teachers.iter().map(frozen).collect()
}

/// The device of a choice; its threads are bounded first.
///
/// # Errors
/// A word that names no device, a device that is not there, a number of threads that cannot be had.
pub fn device(choice: &str, threads: Option<usize>) -> Result<Resolved, CliError> {
    if let Some(count) = threads {
        set_threads(count)?;
    }
    Ok(resolve(choice.parse()?)?)
}
