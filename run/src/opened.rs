//! A run whose folder and files are open: all that is left is to train.

use std::path::PathBuf;
use std::sync::Arc;

use potstill_core::plugin::{Objective, prepare};
use potstill_core::train::{Frozen, GradientReport, Interrupter, Observer, TeacherCache};

use crate::comparison::Row;
use crate::error::RunError;
use crate::folder::RunFolder;
use crate::planned::Planned;
use crate::students::students;
use crate::training::{Supervised, Training};

/// A run before its first step, or before the next one.
#[derive(Debug)]
pub struct Opened {
    planned: Planned,
    folder: RunFolder,
    caches: Vec<Arc<TeacherCache>>,
    resume: bool,
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// It was interrupted after a step, and can be resumed.
    Interrupted,
    /// It has a student.
    Finished(Finished),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The student's file.
    pub student: PathBuf,
    /// Teachers, the student alone, the student distilled; also `result.json`.
    pub rows: Vec<Row>,
    /// The mean of the gradient reports.
    pub gradients: GradientReport,
}

impl Planned {
    /// Makes the folder of the run, or takes up that of one that is to go on.
    ///
    /// # Errors
    /// As [`check`](Self::check); a folder that holds another run, or none where one should go on;
    /// a disk that refuses.
    pub fn open(self, resume: bool) -> Result<Opened, RunError> {
        self.check()?;
        Opened::new(self, resume)
    }
}

impl Opened {
    fn new(mut planned: Planned, resume: bool) -> Result<Self, RunError> {
        let folder = planned.take_folder(resume)?;
        if planned.data.pipeline.whitens() {
            planned.data = planned.data.whitened(&folder)?;
            planned.train = planned.train.whitened(&planned.data.pipeline)?;
            planned.test = planned.test.whitened(&planned.data.pipeline)?;
            planned.cache = planned.teacher_cache()?;
        }
        let caches = match planned.cache.take() {
            Some(cache) => cache.setup.open(cache.keys)?,
            None => Vec::new(),
        };
        Ok(Self {
            planned,
            folder,
            caches: caches.into_iter().map(Arc::new).collect(),
            resume,
        })
    }

    /// The plan.
    pub fn planned(&self) -> &Planned {
        &self.planned
    }

    /// Trains the student, first alone where the run has a baseline, and leaves it in the folder as
    /// ONNX, checked. `interrupter` stops it after a step.
    ///
    /// # Errors
    /// A loss that is no number, data that cannot be read, an export that fails its check, a disk
    /// that refuses.
    pub fn train(
        mut self,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, RunError> {
        let mut rows = Vec::new();
        if self.planned.config.has_baseline() {
            observer.begins("alone");
            match self.train_alone(interrupter, observer)? {
                Some(alone) => rows.extend(alone),
                None => return Ok(Outcome::Interrupted),
            }
            observer.begins("distilled");
        }
        let supervised = Supervised {
            students: self.planned.students.clone(),
            objective: std::mem::take(&mut self.planned.objective),
            teachers: self.frozen(),
            chosen: self.planned.chosen,
        };
        let planned = &self.planned;
        let training = self.training();
        let name = planned.config.result_name();
        let trained = training.carry_out(supervised, &name, interrupter, observer)?;
        let Some((distilled, gradients)) = trained else {
            return Ok(Outcome::Interrupted);
        };
        rows.extend(distilled);
        for teacher in planned.teachers.iter().rev() {
            let device = &planned.device.device;
            let threads = planned.config.threads;
            let data = &planned.data;
            let found = data.retrieval(&teacher.network, teacher.logits(), threads, device)?;
            rows.insert(0, Row::teacher(teacher, &planned.test)?.finding(found));
        }
        let result = serde_json::to_vec_pretty(&rows)
            .map_err(|error| RunError::write(self.folder.join(RunFolder::RESULT), error.into()))?;
        self.folder.write(RunFolder::RESULT, &result)?;
        Ok(Outcome::Finished(Finished {
            student: self.folder.join(RunFolder::STUDENT),
            rows,
            gradients,
        }))
    }

    /// Trains the same student with the same budget and nobody who teaches it.
    fn train_alone(
        &self,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Option<Vec<Row>>, RunError> {
        let Planned { data, train, .. } = &self.planned;
        let config = self.planned.config.alone();
        let folder = RunFolder::open(&config, self.resume && config.out.exists())?;
        data.keep_whitening(&folder)?;
        let (picture, classes) = (train.image_shape(), data.classes());
        let students = students(&config, &[], classes, picture)?;
        let objective: Objective = prepare(&[], &students, [], classes, config.training.epochs)?;
        let training = Training {
            config: &config,
            folder: &folder,
            ..self.training()
        };
        let supervised = Supervised {
            students,
            objective,
            teachers: Vec::new(),
            chosen: None,
        };
        let name = format!("{} alone", config.student_names());
        let trained = training.carry_out(supervised, &name, interrupter, observer)?;
        Ok(trained.map(|(rows, _)| rows))
    }

    fn training(&self) -> Training<'_> {
        let planned = &self.planned;
        Training {
            config: &planned.config,
            data: &planned.data,
            train: &planned.train,
            test: &planned.test,
            device: &planned.device.device,
            folder: &self.folder,
            resume: self.resume,
        }
    }

    /// Teachers as training uses them, each with the file that keeps its outputs, if there are
    /// files.
    fn frozen(&self) -> Vec<Frozen> {
        let mut caches = self.caches.iter().cloned();
        let teachers = self.planned.teachers.iter();
        teachers
            .map(|teacher| Frozen {
                network: teacher.network.clone(),
                logits: teacher.logits().to_owned(),
                cache: caches.next(),
            })
            .collect()
    }
}
