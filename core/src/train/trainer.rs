//! The loop over epochs: steps, evaluation, checkpoints, stopping, resuming.
//!
//! The step, the optimizer, the schedule's state, records and the interrupter are burn-train's and burn-optim's. The loop itself is ours: it
//! resumes inside an epoch, returns errors instead of panicking, and stops on a loss that is no number, which burn-train's strategies do not.

use std::path::PathBuf;
use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::tensor::Device;
use burn::train::{Interrupter, TrainStep};
use indexmap::IndexMap;

use super::checkpoint::{Checkpoints, Partial, State, Which};
use super::distillation::{Curriculum, Distillation, Frozen, StepReport, TimedBatch};
use super::evaluation::{Evaluation, evaluate};
use super::learning_rate::LearningRate;
use super::observer::{Event, Observer};
use super::{TrainConfig, TrainError};
use crate::data::Loader;
use crate::graph::Graph;
use crate::network::Network;
use crate::plugin::{Plan, Plugin, Time};

/// Steps whose numbers are fetched from a GPU in one go; the CPU's are there at once.
const FETCH_EVERY: usize = 16;

/// A run before it starts.
#[derive(Debug)]
pub struct Setup {
    /// The students: name and network.
    pub students: Vec<(String, Graph)>,
    /// The teachers.
    pub teachers: Vec<Frozen>,
    /// The methods.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// How to train.
    pub config: TrainConfig,
    /// Where random numbers on the device start.
    pub seed: u64,
    /// Where to train, without autodiff.
    pub device: Device,
    /// Where checkpoints go; `None` keeps none.
    pub folder: Option<PathBuf>,
    /// Goes on from the folder's last checkpoint.
    pub resume: bool,
}

/// A run that is over or was stopped.
#[derive(Debug)]
pub struct Outcome {
    /// The students at the end.
    pub last: Vec<Network>,
    /// The students at their best validation accuracy.
    pub best: Vec<Network>,
    /// The best validation accuracy; `None` before the first epoch's end.
    pub best_evaluation: Option<f64>,
    /// The last epoch's evaluation.
    pub evaluation: Option<Evaluation>,
    /// Steps done.
    pub steps: usize,
    /// Whether it was interrupted, and can be resumed.
    pub interrupted: bool,
    /// Seconds spent in steps of this part of the run.
    pub seconds: f64,
}

/// A run.
#[derive(Debug)]
pub struct Trainer {
    model: Distillation,
    config: TrainConfig,
    seed: u64,
    device: Device,
    checkpoints: Option<Checkpoints>,
    resume: bool,
}

impl Trainer {
    /// Checks the configuration, asks the plugins, puts the networks on the device.
    ///
    /// # Errors
    /// A setting outside its range, a student whose classes do not fit, what a plugin refuses.
    pub fn new(setup: Setup, classes: usize) -> Result<Self, TrainError> {
        let Setup {
            students,
            teachers,
            plugins,
            config,
            seed,
            device,
            folder,
            resume,
        } = setup;
        config.check()?;
        let teacher_graphs: Vec<Graph> = teachers
            .iter()
            .map(|teacher| teacher.network.graph().clone())
            .collect();
        let plan = Plan::prepared(
            students.iter().map(|(_, graph)| graph),
            &teacher_graphs,
            &plugins,
            classes,
            config.epochs,
        )?;
        for ((name, _), observation) in students.iter().zip(&plan.students) {
            let dims = observation
                .facts
                .get(&observation.logits)
                .map(|fact| fact.dims.clone())
                .unwrap_or_default();
            let got = dims.last().copied().unwrap_or(0);
            if dims.len() != 2 || got != classes {
                return Err(TrainError::Classes {
                    student: name.clone(),
                    got,
                    expected: classes,
                });
            }
        }
        let autodiff = device.clone().autodiff();
        let auxiliaries = plan
            .auxiliaries()
            .iter()
            .map(|auxiliary| Network::new(auxiliary.graph.clone(), &autodiff))
            .collect::<Result<Vec<_>, _>>()?;
        let curriculum = Curriculum {
            teachers,
            auxiliary_names: plan
                .auxiliaries()
                .iter()
                .map(|auxiliary| auxiliary.name.clone())
                .collect(),
            teacher_taps: plan.teacher_taps().iter().cloned().collect(),
            student_taps: plan.student_taps().iter().cloned().collect(),
            has_task_term: plan.has_task_term(),
            plugins,
        };
        let students = students
            .into_iter()
            .map(|(_, graph)| Network::new(graph, &autodiff))
            .collect::<Result<Vec<_>, _>>()?;
        let model = Distillation::new(students, auxiliaries, curriculum);
        let checkpoints = folder.as_deref().map(Checkpoints::new);
        Ok(Self {
            model,
            config,
            seed,
            device,
            checkpoints,
            resume,
        })
    }

    /// Trains on one loader, evaluates on another. `interrupter` stops it after a step.
    ///
    /// # Errors
    /// A loss that is no number, data that cannot be read, a disk that is full.
    pub fn run(
        self,
        train: &Loader,
        valid: &Loader,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        let steps_per_epoch = train.num_batches();
        let schedule = LearningRate::new(&self.config, steps_per_epoch);
        let mut run = Run {
            // A validation snapshot has running statistics of its own; a clone would share them.
            best: self.model.valid(),
            model: self.model,
            optimizer: self.config.build_optimizer(),
            scheduler: ModuleLrScheduler::new(schedule.clone()),
            schedule,
            state: State::default(),
            evaluation: None,
            seconds: 0.0,
            pending: Vec::new(),
            since: Instant::now(),
            config: self.config,
            seed: self.seed,
            fetch_every: if self.device == Device::flex() {
                1
            } else {
                FETCH_EVERY
            },
            device: self.device,
            checkpoints: self.checkpoints,
            steps_per_epoch,
        };
        if self.resume {
            run.restore()?;
        }
        run.train(train, valid, interrupter, observer)
    }
}

struct Run {
    model: Distillation,
    best: Distillation,
    optimizer: burn::optim::ModuleOptimizer,
    scheduler: ModuleLrScheduler,
    schedule: LearningRate,
    state: State,
    evaluation: Option<Evaluation>,
    seconds: f64,
    /// Steps whose numbers are still on the device: step, learning rate, report.
    pending: Vec<(usize, f64, StepReport)>,
    /// When numbers were last fetched.
    since: Instant,
    config: TrainConfig,
    seed: u64,
    fetch_every: usize,
    device: Device,
    checkpoints: Option<Checkpoints>,
    steps_per_epoch: usize,
}

/// Why an epoch's steps ended.
enum Ended {
    Epoch,
    Interrupted,
    MaxSteps,
}

impl Run {
    fn restore(&mut self) -> Result<(), TrainError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        if checkpoints.exists(Which::Best) {
            let best = checkpoints.load(Which::Best)?;
            self.best = checkpoints.put(Which::Best, best.module, self.best.clone())?;
        }
        let last = checkpoints.load(Which::Last)?;
        self.model = checkpoints.put(Which::Last, last.module, self.model.clone())?;
        self.optimizer = self.optimizer.clone().load_record(last.optimizer);
        self.scheduler = self.scheduler.clone().load_record(last.learning_rate);
        self.state = last.state;
        Ok(())
    }

    fn train(
        mut self,
        train: &Loader,
        valid: &Loader,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        observer.observe(&Event::Start {
            epochs: self.config.epochs,
            steps_per_epoch: self.steps_per_epoch,
            step: self.state.step,
        });
        let mut interrupted = false;
        while self.state.epoch < self.config.epochs && !self.is_exhausted() {
            // At the head: a run that stopped early stops again when it is resumed.
            if self
                .config
                .early_stopping
                .is_some_and(|patience| self.state.waited >= patience)
            {
                let reason = format!("no better validation accuracy for {} epochs", self.state.waited);
                observer.observe(&Event::Stopped {
                    step: self.state.step,
                    reason,
                });
                break;
            }
            match self.steps(train, interrupter, observer)? {
                Ended::Interrupted => {
                    interrupted = true;
                    self.save(false, false, observer)?;
                    let reason = interrupter
                        .get_message()
                        .unwrap_or_else(|| "interrupted".to_owned());
                    observer.observe(&Event::Stopped {
                        step: self.state.step,
                        reason,
                    });
                    break;
                }
                Ended::Epoch | Ended::MaxSteps => {}
            }
            self.end_epoch(valid, observer)?;
        }
        Ok(Outcome {
            last: self.model.valid().students,
            best: self.best.students,
            best_evaluation: self.state.best,
            evaluation: self.evaluation,
            steps: self.state.step,
            interrupted,
            seconds: self.seconds,
        })
    }

    fn is_exhausted(&self) -> bool {
        self.config.max_steps.is_some_and(|most| self.state.step >= most)
    }

    /// The rest of the current epoch.
    fn steps(
        &mut self,
        train: &Loader,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        train.position().set(self.state.epoch, self.state.batch);
        let mut batches = train.iter();
        loop {
            let started = Instant::now();
            let Some(batch) = batches.next() else { break };
            let batch = batch.map_err(|error| TrainError::Batch {
                reason: error.to_string(),
            })?;
            // Dropout draws from the device: the same numbers at the same step, resumed or not.
            self.device.seed(self.seed.wrapping_add(self.state.step as u64));
            let time = Time {
                step: self.state.step,
                epoch: self.state.step as f64 / self.steps_per_epoch as f64,
                epochs: self.config.epochs,
            };
            let output = TrainStep::step(&self.model, TimedBatch { batch, time });
            if let Some(error) = self.model.take_failure() {
                return Err(error);
            }
            let rate = self.scheduler.step().base();
            self.model = self
                .model
                .clone()
                .update(&mut self.optimizer, rate, output.grads, time)?;
            self.state.step += 1;
            self.state.batch += 1;
            self.pending.push((self.state.step, rate, output.item));
            if self.pending.len() >= self.fetch_every {
                self.fetch(observer)?;
            }
            self.seconds += started.elapsed().as_secs_f64();
            // The last step of all comes first: its epoch is to be evaluated, and nothing is left to resume.
            if self.is_exhausted() {
                self.fetch(observer)?;
                return Ok(Ended::MaxSteps);
            }
            if interrupter.should_stop() {
                self.fetch(observer)?;
                return Ok(Ended::Interrupted);
            }
        }
        self.fetch(observer)?;
        Ok(Ended::Epoch)
    }

    /// Reads the pending steps' numbers; the first one that is none stops the run.
    fn fetch(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let pending = std::mem::take(&mut self.pending);
        let pictures: usize = pending.iter().map(|(_, _, report)| report.labels.dims()[0]).sum();
        let rate = pictures as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.since = Instant::now();
        let newest = pending.len();
        for (index, (step, learning_rate, report)) in pending.into_iter().enumerate() {
            let StepReport {
                loss,
                terms,
                logits,
                labels,
            } = report;
            let mut values: IndexMap<String, f64> = IndexMap::new();
            for term in terms {
                let value = term.value.into_scalar::<f32>();
                if !value.is_finite() {
                    return Err(TrainError::NotFinite {
                        term: term.name.to_owned(),
                        value,
                        step,
                    });
                }
                *values.entry(term.name.to_owned()).or_default() += f64::from(value);
            }
            let loss = loss.into_scalar::<f32>();
            if !loss.is_finite() {
                return Err(TrainError::NotFinite {
                    term: "total".to_owned(),
                    value: loss,
                    step,
                });
            }
            let logits: Vec<f32> = logits.into_data().iter().collect();
            let labels: Vec<i64> = labels.into_data().iter().collect();
            let mut tally = super::evaluation::Tally::default();
            tally.add(&logits, &labels);
            let partial = &mut self.state.partial;
            let count = labels.len() as f64;
            partial.loss += f64::from(loss) * count;
            partial.samples += labels.len();
            partial.tally.add(&logits, &labels);
            for (name, value) in &values {
                *partial.terms.entry(name.clone()).or_default() += value * count;
            }
            observer.observe(&Event::Step {
                step,
                epoch: self.state.epoch + 1,
                step_in_epoch: self.state.batch + index + 1 - newest,
                loss: f64::from(loss),
                terms: values,
                top1: tally.evaluation().top1,
                learning_rate,
                rate,
            });
        }
        Ok(())
    }

    /// Evaluates, tells plugins and observer, saves.
    fn end_epoch(&mut self, valid: &Loader, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let partial = std::mem::take(&mut self.state.partial);
        let model = self.model.valid();
        let evaluation = evaluate(valid, |pictures| model.predict(0, pictures))?;
        if !evaluation.loss.is_finite() {
            return Err(TrainError::NotFinite {
                term: "validation".to_owned(),
                value: evaluation.loss as f32,
                step: self.state.step,
            });
        }
        let mut metrics = training_metrics(&partial);
        metrics.insert("valid.loss".to_owned(), evaluation.loss);
        metrics.insert("valid.top1".to_owned(), evaluation.top1);
        metrics.insert("valid.top5".to_owned(), evaluation.top5);
        for plugin in self.model.plugins() {
            plugin.epoch_end(&metrics)?;
        }
        self.schedule.report(evaluation.top1);
        let best = self.state.best.is_none_or(|best| evaluation.top1 > best);
        if best {
            self.state.best = Some(evaluation.top1);
            self.state.waited = 0;
            self.best = self.model.valid();
        } else {
            self.state.waited += 1;
        }
        self.state.epoch += 1;
        self.state.batch = 0;
        self.evaluation = Some(evaluation);
        let (epoch, step) = (self.state.epoch, self.state.step);
        observer.observe(&Event::Epoch {
            epoch,
            step,
            metrics,
            best,
        });
        let keep = self
            .config
            .checkpoint_every
            .is_some_and(|every| epoch.is_multiple_of(every));
        self.save(best, keep, observer)?;
        self.since = Instant::now();
        Ok(())
    }

    fn save(&self, best: bool, keep: bool, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        self.model
            .students
            .iter()
            .chain(&self.model.auxiliaries)
            .for_each(Network::settle);
        checkpoints.save(
            &self.model,
            &self.optimizer,
            self.scheduler.to_record(),
            &self.state,
            best,
            keep,
        )?;
        observer.observe(&Event::Checkpoint {
            step: self.state.step,
        });
        Ok(())
    }
}

fn training_metrics(partial: &Partial) -> IndexMap<String, f64> {
    let samples = partial.samples.max(1) as f64;
    let mut metrics = IndexMap::new();
    metrics.insert("train.loss".to_owned(), partial.loss / samples);
    metrics.insert("train.top1".to_owned(), partial.tally.evaluation().top1);
    for (name, sum) in &partial.terms {
        metrics.insert(format!("train.{name}"), sum / samples);
    }
    metrics
}
