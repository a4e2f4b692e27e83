//! Students, auxiliary networks, teachers and plugins as one Burn module.
//!
//! [`Distillation::step`] is one step of distillation: teachers run without gradients, students with
//! them, every plugin's hooks are called in turn, and the weighted terms are summed.
//! [`Distillation::update`] calls the plugins' optimizer hook and Burn's optimizer.

use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};
use burn_optim::{GradientsParams, ModuleOptimizer};
use indexmap::IndexMap;

use super::TrainError;
use super::teacher_cache::TeacherCache;
use super::view::View;
use crate::cpu::on_pool;
use crate::data::Batch;
use crate::graph::Graph;
use crate::loss::cross_entropy;
use crate::network::{Network, Outputs};
use crate::ops::Mode;
use crate::plugin::{Member, Plan, Plugin, PluginError, Step, Students, Term, Time, Update, gated};
use crate::precision::Precision;
use crate::value::Value;

/// A network that teaches and does not learn.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The network, on a device without autodiff.
    pub network: Network,
    /// The value that holds its logits.
    pub logits: String,
    /// Where its outputs are kept; `None` computes them at every step.
    pub cache: Option<Arc<TeacherCache>>,
}

impl Frozen {
    /// Named values for the pictures of a batch.
    fn outputs(&self, batch: &Batch, values: &[&str]) -> Result<Outputs, TrainError> {
        let run = |values: &[&str]| -> Result<Outputs, TrainError> {
            let pictures = Value::from(batch.images.clone());
            Ok(self.network.forward_to(pictures, values, Mode::Inference)?)
        };
        match &self.cache {
            Some(cache) => cache.outputs(batch, values, run),
            None => run(values),
        }
    }
}

/// What stays the same from step to step.
#[derive(Debug)]
struct Lesson {
    teachers: Vec<Frozen>,
    plugins: Vec<Box<dyn Plugin>>,
    auxiliary_names: Vec<String>,
    /// What the main stage needs of each network, then what the stages before it need.
    main: View,
    stages: Vec<StageView>,
    peers: std::ops::Range<usize>,
    fork: Option<String>,
    /// The auxiliary network that weighs the ensemble, and the shared value that it reads.
    gate: Option<(String, String)>,
    /// Whether the loss on the true classes is added here because no plugin brings it.
    task_term: bool,
    /// Whether a plugin asked for the gradient of the loss on the true classes by itself, and that of the last step.
    separate_task: bool,
    task_gradients: Mutex<Option<GradientsParams>>,
}

#[derive(Debug)]
struct StageView {
    name: String,
    plugin: &'static str,
    view: View,
}

/// Everything that is trained together.
#[derive(Module, Debug)]
pub struct Distillation {
    /// The networks that hold the students.
    pub students: Vec<Network>,
    /// Regressors, gates: trained beside the students, not exported.
    pub auxiliaries: Vec<Network>,
    #[module(skip)]
    lesson: Arc<Lesson>,
}

/// A batch and when it comes.
#[derive(Clone, Debug)]
pub struct TimedBatch {
    /// The pictures.
    pub batch: Batch,
    /// When.
    pub time: Time,
    /// Which of the stages before the main one; `None` is the main one.
    pub stage: Option<usize>,
}

/// What one step gave.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// The weighted sum, `[1]`.
    pub loss: Tensor<1>,
    /// The terms before weighting, without gradients.
    pub terms: Vec<Term>,
    /// The first student's logits, `[batch, classes]`, where there are any.
    pub logits: Option<Tensor<2>>,
    /// `[batch]`
    pub labels: Tensor<1, Int>,
}

/// What the members of a cohort say about pictures.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// The logits of each member, `[batch, classes]`.
    pub members: Vec<Tensor<2>>,
    /// Those of all together, where there are several.
    pub ensemble: Option<Tensor<2>>,
}

impl Distillation {
    /// Puts the networks of the students and of the plan on a device, which is one without autodiff. All of them compute in `precision`.
    ///
    /// # Errors
    /// A network that is inconsistent, a precision in which the device does not compute.
    pub fn new(
        students: &Students,
        plan: &Plan<'_>,
        teachers: Vec<Frozen>,
        plugins: Vec<Box<dyn Plugin>>,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, TrainError> {
        precision.check(device)?;
        let autodiff = device.clone().autodiff();
        let put = |graph: &Graph| {
            Ok::<_, TrainError>(Network::new(graph.clone(), &autodiff)?.training_in(precision))
        };
        let teachers = teachers.into_iter().map(|teacher| Frozen {
            network: teacher.network.frozen_in(precision),
            ..teacher
        });
        let networks = students.networks.iter().map(put).collect::<Result<_, _>>()?;
        let auxiliaries = plan.auxiliaries().iter().map(|auxiliary| put(&auxiliary.graph));
        let auxiliaries = auxiliaries.collect::<Result<_, _>>()?;
        let lesson = Lesson {
            main: View::main(students, plan),
            stages: plan
                .stages()
                .iter()
                .map(|stage| StageView {
                    name: stage.name.clone(),
                    plugin: stage.plugin,
                    view: View::stage(students, stage),
                })
                .collect(),
            peers: students.peers(),
            fork: students.fork.clone(),
            gate: plan.gate().map(|(gate, fork)| (gate.to_owned(), fork.to_owned())),
            auxiliary_names: plan
                .auxiliaries()
                .iter()
                .map(|auxiliary| auxiliary.name.clone())
                .collect(),
            task_term: !plan.has_task_term(),
            teachers: teachers.collect(),
            plugins,
            separate_task: plan.separates_task_gradient(),
            task_gradients: Mutex::new(None),
        };
        Ok(Self {
            students: networks,
            auxiliaries,
            lesson: Arc::new(lesson),
        })
    }

    /// The methods.
    pub fn plugins(&self) -> &[Box<dyn Plugin>] {
        &self.lesson.plugins
    }

    /// The files that keep teachers' outputs.
    pub(super) fn caches(&self) -> impl Iterator<Item = &TeacherCache> {
        self.lesson
            .teachers
            .iter()
            .filter_map(|teacher| teacher.cache.as_deref())
    }

    /// The members that teach one another.
    pub fn peers(&self) -> std::ops::Range<usize> {
        self.lesson.peers.clone()
    }

    /// The logits of every member for pictures `[batch, channels, height, width]`, in inference mode.
    ///
    /// # Errors
    /// Pictures that do not fit.
    pub fn predict(&self, pictures: Tensor<4>) -> Result<Predictions, TrainError> {
        let members = self.lesson.main.run(&self.students, pictures, Mode::Inference)?;
        let logits = members
            .iter()
            .map(Member::logits)
            .collect::<Result<Vec<_>, PluginError>>()?;
        if logits.len() < 2 {
            return Ok(Predictions {
                members: logits,
                ensemble: None,
            });
        }
        let ensemble = match &self.lesson.gate {
            Some((gate, fork)) => {
                let index = self.lesson.auxiliary_names.iter().position(|name| name == gate);
                let gate = index.and_then(|index| self.auxiliaries.get(index));
                let gate = gate.ok_or_else(|| TrainError::Step {
                    reason: "the ensemble's gate is not planned".to_owned(),
                })?;
                let weights = gate.forward(members[0].value(fork)?.clone(), &[], Mode::Inference)?;
                let name = weights.first().map_or("", |(name, _)| name);
                gated(&logits, weights.float(name).map_err(PluginError::from)?)
            }
            None => mean_of_probabilities(&logits[self.lesson.peers.clone()]),
        };
        Ok(Predictions {
            members: logits,
            ensemble: Some(ensemble),
        })
    }

    pub(super) fn view(&self, stage: Option<usize>) -> &View {
        stage.map_or(&self.lesson.main, |stage| &self.lesson.stages[stage].view)
    }

    pub(super) fn teachers(&self, batch: &Batch, stage: Option<usize>) -> Result<Vec<Member>, TrainError> {
        let taught = &self.view(stage).teachers;
        let run = |teacher: &Frozen| -> Result<Member, TrainError> {
            let logits = stage.is_none().then_some(teacher.logits.as_str());
            let values: Vec<&str> = logits
                .into_iter()
                .chain(taught.iter().map(String::as_str))
                .collect();
            Ok(Member::new(&teacher.logits, teacher.outputs(batch, &values)?))
        };
        self.lesson.teachers.iter().map(run).collect()
    }

    /// Every plugin's terms over what the networks gave back.
    pub(super) fn terms(
        &self,
        item: &TimedBatch,
        teachers: &[Member],
        students: &[Member],
        turn: Option<usize>,
        mode: Mode,
    ) -> Result<Vec<Term>, TrainError> {
        let lesson = &self.lesson;
        let auxiliaries: IndexMap<String, Network> = lesson
            .auxiliary_names
            .iter()
            .cloned()
            .zip(self.auxiliaries.iter().cloned())
            .collect();
        let stage = item.stage.map(|stage| &lesson.stages[stage]);
        let labels = item.batch.labels.clone();
        let mut step = Step::new(labels, teachers, students, &auxiliaries, item.time, mode);
        step.indices = &item.batch.indices;
        step.stage = stage.map(|stage| stage.name.as_str());
        step.fork = lesson.fork.as_deref();
        step.turn = turn;
        let at_work: Vec<&dyn Plugin> = lesson
            .plugins
            .iter()
            .map(AsRef::as_ref)
            .filter(|plugin| stage.is_none_or(|stage| stage.plugin == plugin.name()))
            .collect();
        for plugin in &at_work {
            plugin.forward(&mut step)?;
        }
        let mut terms = Vec::new();
        if lesson.task_term && stage.is_none() {
            for (member, student) in students.iter().enumerate() {
                if step.is_turn_of(member) {
                    terms.push(Term {
                        name: "ce",
                        value: cross_entropy(student.logits()?, item.batch.labels.clone()),
                        weight: 1.0,
                    });
                }
            }
        }
        for plugin in &at_work {
            terms.extend(plugin.loss(&step)?);
        }
        Ok(terms)
    }

    /// The gradients of one step and what it gave. On the CPU, it runs on a thread that computes.
    ///
    /// # Errors
    /// What a plugin refuses, pictures that do not fit.
    pub fn step(&self, item: TimedBatch) -> Result<(GradientsParams, StepReport), TrainError> {
        let on_cpu = self
            .students
            .iter()
            .all(|student| student.device() == Device::flex());
        if !on_cpu {
            return self.try_step(item);
        }
        on_pool(|| {
            let output = self.try_step(item);
            // Running statistics are pending on the thread that moved them, and the next step may come by another.
            self.students
                .iter()
                .chain(&self.auxiliaries)
                .for_each(Network::settle);
            output
        })
    }

    fn try_step(&self, item: TimedBatch) -> Result<(GradientsParams, StepReport), TrainError> {
        let teachers = self.teachers(&item.batch, item.stage)?;
        if self.lesson.separate_task && item.stage.is_none() {
            self.separate_task_gradient(&item, &teachers)?;
        }
        let students =
            self.view(item.stage)
                .run(&self.students, item.batch.images.clone(), Mode::Training)?;
        let terms = self.terms(&item, &teachers, &students, None, Mode::Training)?;
        let total = total(&terms)?;
        let gradients = GradientsParams::from_grads(total.backward(), self);
        let report = StepReport {
            loss: total.detach(),
            terms: detached(terms),
            logits: students[0].logits().ok().map(Tensor::detach),
            labels: item.batch.labels,
        };
        Ok((gradients, report))
    }

    /// Keeps the gradient of the terms on the true classes for the optimizer hooks. Burn's backward pass uses a graph up, so this is a pass of its own.
    fn separate_task_gradient(&self, item: &TimedBatch, teachers: &[Member]) -> Result<(), TrainError> {
        let pictures = item.batch.images.clone();
        let students = self.lesson.main.run(&self.students, pictures, Mode::Rehearsal)?;
        let mut terms = self.terms(item, teachers, &students, None, Mode::Rehearsal)?;
        terms.retain(Term::is_task);
        let gradients = match Term::total(&terms) {
            Some(total) => GradientsParams::from_grads(total.backward(), self),
            None => GradientsParams::new(),
        };
        *self
            .lesson
            .task_gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(gradients);
        Ok(())
    }

    /// One step in which the members are updated one after the other, each on what those before it have become: Zhang et al. 2018, algorithm 1.
    ///
    /// # Errors
    /// What a plugin refuses.
    pub fn step_in_turn(
        mut self,
        item: TimedBatch,
        optimizer: &mut ModuleOptimizer,
        learning_rate: f64,
    ) -> Result<(Self, StepReport), TrainError> {
        let pictures = || item.batch.images.clone();
        let teachers = self.teachers(&item.batch, None)?;
        let lesson = self.lesson.clone();
        let tracked = lesson.main.run(&self.students, pictures(), Mode::Training)?;
        let mut seen: Vec<Member> = tracked.iter().map(Member::detached).collect();
        let (mut all, mut loss): (Vec<Term>, Option<Tensor<1>>) = (Vec::new(), None);
        for (turn, own) in tracked.iter().enumerate() {
            let mut students = seen.clone();
            students[turn] = own.clone();
            let terms = self.terms(&item, &teachers, &students, Some(turn), Mode::Training)?;
            let total = total(&terms)?;
            let gradients = GradientsParams::from_grads(total.backward(), &self);
            self = self.update(optimizer, learning_rate, gradients, item.time)?;
            if turn + 1 < tracked.len() {
                // A validation snapshot keeps the running statistics of the network itself as they are.
                let valid: Vec<Network> = self.students.iter().map(Module::valid).collect();
                seen[turn] = lesson
                    .main
                    .run_member(turn, &valid, pictures(), Mode::Rehearsal)?;
            }
            all.extend(detached(terms));
            loss = Some(loss.map_or(total.clone().detach(), |sum| sum + total.detach()));
        }
        let report = StepReport {
            loss: loss.ok_or_else(no_term)?,
            terms: all,
            logits: tracked[0].logits().ok().map(Tensor::detach),
            labels: item.batch.labels,
        };
        Ok((self, report))
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
        let task = self
            .lesson
            .task_gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for plugin in &self.lesson.plugins {
            let mut update = Update {
                students: &self.students,
                gradients: &mut gradients,
                task_gradients: task.as_ref(),
                learning_rate: &mut learning_rate,
                time,
            };
            plugin.optimizer_step(&mut update)?;
        }
        Ok(optimizer.step(learning_rate, self, gradients))
    }
}

fn no_term() -> TrainError {
    TrainError::Step {
        reason: "no loss term".to_owned(),
    }
}

fn total(terms: &[Term]) -> Result<Tensor<1>, TrainError> {
    Term::total(terms).ok_or_else(no_term)
}

fn detached(terms: Vec<Term>) -> Vec<Term> {
    terms
        .into_iter()
        .map(|term| Term {
            value: term.value.detach(),
            ..term
        })
        .collect()
}

/// The logarithm of the mean of the members' probabilities, `[batch, classes]`: logits whose softmax is that mean.
fn mean_of_probabilities(logits: &[Tensor<2>]) -> Tensor<2> {
    let all: Vec<Tensor<2>> = logits.iter().map(|logits| softmax(logits.clone(), 1)).collect();
    let mean = Tensor::stack::<3>(all, 0).mean_dim(0).squeeze_dim::<2>(0);
    mean.clamp_min(f32::MIN_POSITIVE).log()
}
