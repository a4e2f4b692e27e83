//! Students, auxiliary networks, teachers and plugins as one Burn module: what burn-train trains.
//!
//! [`TrainStep::step`] is one step of distillation: teachers run without gradients, students with them, every plugin's hooks are called in
//! turn, and the weighted terms are summed. [`Distillation::update`] calls the plugins' optimizer hook and Burn's optimizer.

use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::ExecutionError;
use burn::tensor::{Int, Tensor};
use burn::train::{ItemLazy, TrainOutput, TrainStep};
use indexmap::IndexMap;

use super::TrainError;
use crate::data::Batch;
use crate::loss::cross_entropy;
use crate::network::Network;
use crate::ops::Mode;
use crate::plugin::{Member, Plugin, PluginError, Step, Term, Time, Update};
use crate::value::Value;

/// A network that teaches and does not learn.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The network, on a device without autodiff.
    pub network: Network,
    /// The value that holds its logits.
    pub logits: String,
}

/// What stays the same from step to step.
#[derive(Debug)]
struct Lesson {
    teachers: Vec<Frozen>,
    plugins: Vec<Box<dyn Plugin>>,
    logits: Vec<String>,
    auxiliary_names: Vec<String>,
    teacher_taps: Vec<String>,
    student_taps: Vec<String>,
    /// Whether the loss on the true classes is added here because no plugin brings it.
    task_term: bool,
    /// An error inside burn-train's steps, which cannot return one.
    failure: Mutex<Option<TrainError>>,
}

/// Everything that is trained together.
#[derive(Module, Debug)]
pub struct Distillation {
    /// The students.
    pub students: Vec<Network>,
    /// Regressors, gates: trained beside the students, not exported.
    pub auxiliaries: Vec<Network>,
    #[module(skip)]
    lesson: Arc<Lesson>,
}

/// What a [`Distillation`] is made of, besides its networks.
#[derive(Debug, Default)]
pub struct Curriculum {
    /// The teachers.
    pub teachers: Vec<Frozen>,
    /// The methods.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// Names of the auxiliary networks.
    pub auxiliary_names: Vec<String>,
    /// Values asked of the teachers.
    pub teacher_taps: Vec<String>,
    /// Values asked of the students.
    pub student_taps: Vec<String>,
    /// Whether a plugin brings the loss on the true classes.
    pub has_task_term: bool,
}

/// A batch and when it comes.
#[derive(Clone, Debug)]
pub struct TimedBatch {
    /// The pictures.
    pub batch: Batch,
    /// When.
    pub time: Time,
}

/// What one step gave.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The weighted sum, `[1]`.
    pub loss: Tensor<1>,
    /// The terms before weighting, without gradients.
    pub terms: Vec<Term>,
    /// The first student's logits, `[batch, classes]`.
    pub logits: Tensor<2>,
    /// `[batch]`
    pub labels: Tensor<1, Int>,
}

impl ItemLazy for StepReport {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Distillation {
    /// Puts networks and curriculum together. The students' first outputs are their logits.
    pub fn new(students: Vec<Network>, auxiliaries: Vec<Network>, curriculum: Curriculum) -> Self {
        let logits = |student: &Network| {
            student
                .graph()
                .outputs
                .first()
                .map(|output| output.name.clone())
                .unwrap_or_default()
        };
        let lesson = Lesson {
            logits: students.iter().map(logits).collect(),
            teachers: curriculum.teachers,
            plugins: curriculum.plugins,
            auxiliary_names: curriculum.auxiliary_names,
            teacher_taps: curriculum.teacher_taps,
            student_taps: curriculum.student_taps,
            task_term: !curriculum.has_task_term,
            failure: Mutex::new(None),
        };
        Self {
            students,
            auxiliaries,
            lesson: Arc::new(lesson),
        }
    }

    /// The methods.
    pub fn plugins(&self) -> &[Box<dyn Plugin>] {
        &self.lesson.plugins
    }

    /// The error of the last step, if it failed; taking it clears it.
    pub fn take_failure(&self) -> Option<TrainError> {
        self.lesson
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The logits of a student for pictures `[batch, channels, height, width]`, in inference mode.
    ///
    /// # Errors
    /// Pictures that do not fit.
    pub fn predict(&self, student: usize, pictures: Tensor<4>) -> Result<Tensor<2>, TrainError> {
        let outputs = self.students[student].forward(Value::from(pictures), &[], Mode::Inference)?;
        Ok(outputs
            .float(&self.lesson.logits[student])
            .map_err(PluginError::from)?)
    }

    fn terms(&self, batch: &Batch, time: Time) -> Result<(Vec<Term>, Tensor<2>), TrainError> {
        let lesson = &self.lesson;
        let run = |network: &Network, logits: &str, taps: &[String], mode| -> Result<Member, TrainError> {
            let taps: Vec<&str> = taps.iter().map(String::as_str).collect();
            let outputs = network.forward(Value::from(batch.images.clone()), &taps, mode)?;
            let logits = outputs.float(logits).map_err(PluginError::from)?;
            Ok(Member { logits, outputs })
        };
        let teachers = lesson
            .teachers
            .iter()
            .map(|teacher| {
                run(
                    &teacher.network,
                    &teacher.logits,
                    &lesson.teacher_taps,
                    Mode::Inference,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let students = self
            .students
            .iter()
            .zip(&lesson.logits)
            .map(|(student, logits)| run(student, logits, &lesson.student_taps, Mode::Training))
            .collect::<Result<Vec<_>, _>>()?;
        let auxiliaries: IndexMap<String, Network> = lesson
            .auxiliary_names
            .iter()
            .cloned()
            .zip(self.auxiliaries.iter().cloned())
            .collect();
        let mut step = Step::new(batch.labels.clone(), &teachers, &students, &auxiliaries, time);
        for plugin in &lesson.plugins {
            plugin.forward(&mut step)?;
        }
        let mut terms = Vec::new();
        if lesson.task_term {
            for student in &students {
                let value = cross_entropy(student.logits.clone(), batch.labels.clone());
                terms.push(Term {
                    name: "ce",
                    value,
                    weight: 1.0,
                });
            }
        }
        for plugin in &lesson.plugins {
            terms.extend(plugin.loss(&step)?);
        }
        Ok((terms, students[0].logits.clone()))
    }

    fn try_step(&self, item: TimedBatch) -> Result<TrainOutput<StepReport>, TrainError> {
        let (terms, logits) = self.terms(&item.batch, item.time)?;
        let total = Term::total(&terms).ok_or_else(|| TrainError::Step {
            reason: "no loss term".to_owned(),
        })?;
        let gradients = total.backward();
        let terms = terms
            .into_iter()
            .map(|term| Term {
                value: term.value.detach(),
                ..term
            })
            .collect();
        let report = StepReport {
            loss: total.detach(),
            terms,
            logits: logits.detach(),
            labels: item.batch.labels,
        };
        Ok(TrainOutput::new(self, gradients, report))
    }

    fn fail(&self, error: TrainError) {
        *self.lesson.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The plugins' optimizer hooks, then the optimizer.
    ///
    /// # Errors
    /// What a hook refuses.
    pub fn update(
        self,
        optimizer: &mut ModuleOptimizer,
        mut learning_rate: f64,
        mut gradients: GradientsParams,
        time: Time,
    ) -> Result<Self, TrainError> {
        for plugin in &self.lesson.plugins {
            let mut update = Update {
                students: &self.students,
                gradients: &mut gradients,
                learning_rate: &mut learning_rate,
                time,
            };
            plugin.optimizer_step(&mut update)?;
        }
        Ok(optimizer.step(learning_rate, self, gradients))
    }
}

impl TrainStep for Distillation {
    type Input = TimedBatch;
    type Output = StepReport;

    /// A failed step leaves no gradients; [`Distillation::take_failure`] tells why.
    fn step(&self, item: TimedBatch) -> TrainOutput<StepReport> {
        let labels = item.batch.labels.clone();
        self.try_step(item).unwrap_or_else(|error| {
            self.fail(error);
            let device = labels.device();
            let report = StepReport {
                loss: Tensor::zeros([1], &device),
                terms: Vec::new(),
                logits: Tensor::zeros([1, 1], &device),
                labels,
            };
            TrainOutput {
                grads: GradientsParams::new(),
                item: report,
            }
        })
    }
}
