//! A run that is planned: everything is named, opened to be looked at, and checked; nothing has
//! been written.

use potstill_core::data::Loader;
use potstill_core::device::{Resolved, resolve, set_threads};
use potstill_core::plugin::{Chosen, Objective, PluginError, Students, build, prepare};
use potstill_core::train::{CacheKey, CacheSetup, TrainError};
use potstill_teachers::Classifier;

use crate::config::RunConfig;
use crate::data::Data;
use crate::error::RunError;
use crate::evaluation::rows_without_numbers;
use crate::folder::RunFolder;
use crate::students::{chosen, students};
use crate::teachers::{self, teachers};

/// What a configuration comes to: networks, objective, data, device.
#[derive(Debug)]
pub struct Planned {
    /// What was asked for.
    pub config: RunConfig,
    /// Where it computes, and why there.
    pub device: Resolved,
    /// The data.
    pub data: Data,
    /// Batches to learn from.
    pub train: Loader,
    /// Batches for evaluation.
    pub test: Loader,
    /// Who teaches.
    pub teachers: Vec<Classifier>,
    /// Who learns.
    pub students: Students,
    /// Which of several students is the result; `None` leaves it to the methods.
    pub chosen: Option<Chosen>,
    /// What they learn by.
    pub objective: Objective,
    /// Where the teachers' outputs are kept, if they are.
    pub cache: Option<PlannedCache>,
    /// Whether the run's folder was chosen here, and not by whoever asked.
    pub(crate) names_itself: bool,
}

/// Pictures that teachers are shown before the run begins.
const SHOWN_TO_TEACHERS: usize = 2;

/// Where the teachers' outputs are to be kept.
#[derive(Clone, Debug)]
pub struct PlannedCache {
    /// The folder and the pictures.
    pub setup: CacheSetup,
    /// What each teacher's outputs follow from.
    pub keys: Vec<CacheKey>,
}

/// The device of a choice; its threads are bounded first.
///
/// # Errors
/// A word that names no device, a device that is not there, a number of threads that cannot be had.
pub fn device(choice: &str, threads: Option<usize>) -> Result<Resolved, RunError> {
    if let Some(count) = threads {
        set_threads(count)?;
    }
    Ok(resolve(choice.parse()?)?)
}

impl RunConfig {
    /// Plans the run: opens the data, builds the networks, has the methods prepared for them, and
    /// exports the students as they begin. Nothing is written.
    ///
    /// # Errors
    /// Whatever of the configuration is not there, does not fit or is refused by a method; a
    /// student that could not be written after the training.
    pub fn plan(mut self) -> Result<Planned, RunError> {
        let names_itself = self.out.as_os_str().is_empty();
        if names_itself {
            self.out = self.free_folder();
        }
        self.training.check()?;
        let device = device(&self.device, self.threads)?;
        self.training.precision.check(&device.device)?;
        let plugins = build(&self.plugin)?;
        let data = Data::open(&self.data)?;
        let train = data.train_loader(&self, &device.device)?;
        let test = data.test_loader(self.threads, &device.device)?;
        let (picture, classes) = (train.image_shape(), data.classes());
        let teachers = teachers(&self, &data, picture, &device.device)?;
        let students = students(&self, &plugins, classes, picture)?;
        let chosen = chosen(&self, &students)?;
        let graphs = teachers.iter().map(|teacher| teacher.network.graph());
        let objective = prepare(&plugins, &students, graphs, classes, self.training.epochs)?;
        if let Some(method) = objective.keeper_of_momentum {
            self.training.optimizer.check_plain_sgd(method)?;
        }
        let mut planned = Planned {
            config: self,
            device,
            data,
            train,
            test,
            teachers,
            students,
            chosen,
            objective,
            cache: None,
            names_itself,
        };
        planned.check_teachers()?;
        planned.rehearse_export()?;
        planned.cache = planned.teacher_cache()?;
        Ok(planned)
    }
}

impl Planned {
    /// What whoever planned the run should know before it begins: files that were left out, a
    /// teacher that gives probabilities.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.data.notes();
        notes.extend(teachers::notes(&self.teachers));
        notes
    }

    /// Makes the run's folder. One that another run has taken since the plan was made gives way to
    /// the next free name, where the name is this program's choice.
    pub(crate) fn take_folder(&mut self, resume: bool) -> Result<RunFolder, RunError> {
        loop {
            match RunFolder::open(&self.config, resume) {
                Err(RunError::FolderTaken { .. } | RunError::UnderWay { .. })
                    if self.names_itself && !resume =>
                {
                    self.config.out = self.config.free_folder();
                }
                folder => return folder,
            }
        }
    }

    /// Refuses a teacher whose logits for the first pictures are no numbers.
    fn check_teachers(&self) -> Result<(), RunError> {
        // What is not whitened yet cannot be shown.
        if self.teachers.is_empty() || self.data.pipeline.whitens() {
            return Ok(());
        }
        let pictures = self.data.calibration(SHOWN_TO_TEACHERS, self.config.seed)?;
        let Some(pictures) = pictures.into_iter().next() else {
            return Ok(());
        };
        let pictures = pictures.to_device(&self.device.device);
        for teacher in &self.teachers {
            let outputs = teacher.forward(pictures.clone(), &[]).map_err(TrainError::from)?;
            let logits = outputs.float(teacher.logits()).map_err(PluginError::from)?;
            let broken = rows_without_numbers(&logits);
            if broken > 0 {
                return Err(RunError::NoNumbers {
                    path: teacher.path.clone(),
                    broken,
                    pictures: logits.dims()[0],
                });
            }
        }
        Ok(())
    }

    /// Where the teachers' outputs are kept; with a `zca` that is not fitted yet, the keys are not
    /// the final ones.
    pub(crate) fn teacher_cache(&self) -> Result<Option<PlannedCache>, RunError> {
        let Some(setup) = self.data.teacher_cache(&self.config)? else {
            return Ok(None);
        };
        let graphs = self.teachers.iter().map(|teacher| teacher.network.graph());
        let keys = setup.keys(&self.objective, graphs)?;
        Ok(Some(PlannedCache { setup, keys }))
    }

    /// Refuses what can be planned and not trained.
    ///
    /// # Errors
    /// A teacher without a method, pictures of different shapes in the two splits, outputs that the
    /// disk cannot hold.
    pub fn check(&self) -> Result<(), RunError> {
        if let ([teacher, ..], true) = (&self.teachers[..], self.config.plugin.is_empty()) {
            return Err(RunError::Flag {
                flag: "--teacher",
                got: teacher.path.display().to_string(),
                reason: "has no method to teach by; add --plugin kd".to_owned(),
            });
        }
        let (train, test) = (self.train.image_shape(), self.test.image_shape());
        if train != test {
            return Err(RunError::PictureShapes { train, test });
        }
        // Which files whitened pictures have is known when the whitening is; then the check waits
        // until they are opened.
        if let Some(cache) = self.cache.as_ref().filter(|_| !self.data.pipeline.whitens()) {
            cache.setup.check(&cache.keys)?;
        }
        Ok(())
    }

    /// Whether [`open`](Self::open) fits a `zca` on the training pictures, which takes a while.
    pub fn fits_whitening(&self) -> bool {
        self.data.fits_whitening(&self.config.out)
    }
}
