//! The loop over stages, epochs and steps: evaluation, checkpoints, stopping, resuming.
//!
//! The optimizer, the schedule's state and records are Burn's. The loop is ours: it resumes inside
//! an epoch, returns errors instead of panicking, and stops on a loss that is no number, which
//! burn-train's loops do not.

mod resume;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use crate::data::Loader;
use crate::plugin::{Chosen, Method, Time, Turns};
use crate::task::cohort::{CohortEvaluation, evaluate_cohort};
use crate::train::checkpoint::{Checkpoints, State};
use crate::train::config::TrainConfig;
use crate::train::descent::Descent;
use crate::train::distillation::{Distillation, TimedBatch};
use crate::train::error::TrainError;
use crate::train::gradient_report::{GradientReport, mean};
use crate::train::interrupter::Interrupter;
use crate::train::learning_rate::LearningRate;
use crate::train::observer::{Event, Observer};
use crate::train::pending::{Pending, Unread};
use crate::train::setup::{Outcome, Setup, Trained};
use crate::train::stages::{Place, Stages};
use crate::train::teacher_cache::TeacherCache;

/// Trains on one loader, evaluates on another. `interrupter` stops it after a step.
///
/// # Errors
/// A setting outside its range or that a method does not allow, a network that is inconsistent; a
/// loss that is no number, data that cannot be read, a disk that is full, a checkpoint that is
/// damaged or another run's.
pub fn train(
    setup: Setup,
    train: &Loader,
    valid: &Loader,
    interrupter: &Interrupter,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let resume = setup.resume;
    let mut run = TrainingRun::new(setup, train.num_batches())?;
    if resume {
        run.restore()?;
    }
    run.train(train, valid, interrupter, observer)
}

/// A run under way.
struct TrainingRun {
    model: Distillation,
    best: Distillation,
    methods: Vec<Method>,
    names: Vec<String>,
    stages: Stages,
    turns: Turns,
    chosen: Chosen,
    descent: Descent,
    state: State,
    evaluation: Option<CohortEvaluation>,
    reports: Vec<GradientReport>,
    seconds: f64,
    unread: Unread,
    config: TrainConfig,
    seed: u64,
    device: Device,
    checkpoints: Option<Checkpoints>,
    steps_per_epoch: usize,
}

/// Why an epoch's steps ended.
enum StepsEnded {
    Epoch,
    Interrupted,
    MaxSteps,
}

impl TrainingRun {
    /// A run at its start: the networks are put on the device.
    fn new(setup: Setup, steps_per_epoch: usize) -> Result<Self, TrainError> {
        let Setup {
            students,
            teachers,
            objective,
            config,
            chosen,
            seed,
            device,
            folder,
            resume: _,
        } = setup;
        config.check()?;
        if let Some(method) = objective.keeper_of_momentum {
            config.optimizer.check_plain_sgd(method)?;
        }
        let model = Distillation::new(&students, &objective, teachers, config.precision, &device)?;
        Ok(Self {
            // A validation snapshot has running statistics of its own; a clone would share them.
            best: model.valid(),
            model,
            names: students
                .members
                .iter()
                .map(|member| member.name.clone())
                .collect(),
            stages: Stages::new(objective.stages, config.epochs),
            turns: objective.turns,
            chosen: chosen.unwrap_or(objective.chosen),
            methods: objective.methods,
            descent: Descent::new(&config, LearningRate::new(&config, steps_per_epoch)),
            state: State::default(),
            evaluation: None,
            reports: Vec::new(),
            seconds: 0.0,
            unread: Unread::new(&device),
            steps_per_epoch,
            config,
            seed,
            device,
            checkpoints: folder.as_deref().map(Checkpoints::new),
        })
    }

    /// Where the current epoch lies.
    fn place(&self) -> Place {
        self.stages.place(self.state.epoch)
    }

    /// A fresh optimizer, and the learning rate of the stage that the current epoch is in.
    fn enter_stage(&mut self) {
        let place = self.place();
        let steps = self.steps_per_epoch;
        let rate = match place.stage.map(|index| self.stages.get(index)) {
            Some(stage) => LearningRate::of_stage(&self.config, stage, steps),
            None => {
                let before = self.stages.before_main() * steps;
                let left = |most: usize| most.saturating_sub(before).max(1);
                let config = TrainConfig {
                    max_steps: self.config.max_steps.map(left),
                    ..self.config.clone()
                };
                LearningRate::new(&config, steps)
            }
        };
        self.descent = Descent::new(&self.config, rate);
    }

    /// Whether the next step is the first of a stage.
    fn begins_stage(&self) -> bool {
        self.state.batch == 0 && self.place().epoch == 0
    }

    /// Trains to the end, or until it is stopped.
    ///
    /// # Errors
    /// A loss that is no number, data that cannot be read, a disk that is full.
    fn train(
        mut self,
        train: &Loader,
        valid: &Loader,
        interrupter: &Interrupter,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        observer.observe(&Event::Start {
            epochs: self.stages.epochs(),
            steps_per_epoch: self.steps_per_epoch,
            step: self.state.step,
        });
        for cache in self.model.caches() {
            cache.fault().iter().for_each(|fault| observer.observe(fault));
            observer.observe(&cache.holding());
        }
        let mut interrupted = false;
        while self.state.epoch < self.stages.epochs() && !self.is_exhausted() {
            if self.begins_stage() {
                self.enter_stage();
            }
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
                StepsEnded::Interrupted => {
                    interrupted = true;
                    self.save(false, false, observer)?;
                    let reason = interrupter.reason().unwrap_or_default().to_owned();
                    observer.observe(&Event::Stopped {
                        step: self.state.step,
                        reason,
                    });
                    break;
                }
                StepsEnded::Epoch | StepsEnded::MaxSteps => {}
            }
            self.end_epoch(valid, observer)?;
        }
        for cache in self.model.caches() {
            observer.observe(&cache.served());
        }
        let trained = |model: Distillation, evaluation| Trained {
            auxiliaries: model.named_auxiliaries().collect(),
            students: model.students,
            evaluation,
        };
        Ok(Outcome {
            last: trained(self.model.valid(), self.evaluation),
            best: trained(self.best, self.state.best),
            gradients: mean(&self.reports),
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
    ) -> Result<StepsEnded, TrainError> {
        train.position().set(self.state.epoch, self.state.batch);
        let mut batches = train.iter();
        loop {
            let started = Instant::now();
            let Some(batch) = batches.next() else { break };
            let batch = batch?;
            self.reseed();
            let place = self.place();
            let time = Time {
                step: self.state.step,
                epoch: place.epoch as f64 + self.state.batch as f64 / self.steps_per_epoch as f64,
                epochs: place.epochs,
                pictures: train.num_items(),
            };
            let stage = place.stage;
            let item = TimedBatch { batch, time, stage };
            let gradients = self.gradient_report(&item)?;
            let rate = self.descent.next_rate();
            let model = self.model.clone();
            let report = if self.turns == Turns::InTurn && stage.is_none() {
                let (model, report) =
                    model.step_in_turn(&mut self.methods, item, &mut self.descent.optimizer, rate)?;
                self.model = model;
                report
            } else {
                let (gradients, report) = model.step(&mut self.methods, item)?;
                self.model = model.update(
                    &mut self.methods,
                    &mut self.descent.optimizer,
                    rate,
                    gradients,
                    time,
                )?;
                report
            };
            self.model
                .caches()
                .filter_map(TeacherCache::fault)
                .for_each(|fault| observer.observe(&fault));
            self.state.step += 1;
            self.state.batch += 1;
            self.unread.push(Pending {
                step: self.state.step,
                learning_rate: rate,
                report,
                gradients,
            });
            if self.unread.is_due() {
                self.unread.fetch(&mut self.state, observer)?;
            }
            self.seconds += started.elapsed().as_secs_f64();
            // The last step of all comes first: its epoch is to be evaluated, and nothing is left
            // to resume.
            if self.is_exhausted() {
                self.unread.fetch(&mut self.state, observer)?;
                return Ok(StepsEnded::MaxSteps);
            }
            if interrupter.reason().is_some() {
                self.unread.fetch(&mut self.state, observer)?;
                return Ok(StepsEnded::Interrupted);
            }
        }
        self.unread.fetch(&mut self.state, observer)?;
        Ok(StepsEnded::Epoch)
    }

    /// Dropout draws from the device: the same numbers at the same step, resumed or not.
    fn reseed(&self) {
        self.device.seed(self.step_seed());
    }

    fn step_seed(&self) -> u64 {
        self.seed.wrapping_add(self.state.step as u64)
    }

    /// The gradient report, where this step is one that has it.
    fn gradient_report(&mut self, item: &TimedBatch) -> Result<Option<GradientReport>, TrainError> {
        // A stage's first step too, so that no stage is too short for a report.
        let due = |every: usize| self.state.step.is_multiple_of(every) || self.begins_stage();
        if !self.config.gradient_report.is_some_and(due) {
            return Ok(None);
        }
        let (device, seed) = (&self.device, self.step_seed());
        let methods = &mut self.methods;
        let report = self.model.gradient_report(methods, item, || device.seed(seed))?;
        self.reseed();
        if item.stage.is_none() {
            self.reports.push(report.clone());
        }
        Ok(Some(report))
    }

    /// Evaluates, tells methods and observer, saves.
    fn end_epoch(&mut self, valid: &Loader, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let partial = std::mem::take(&mut self.state.partial);
        let stage = self.place().stage;
        let mut metrics = partial.metrics(stage.is_none());
        let mut best = false;
        if stage.is_none() {
            let evaluation = self.evaluate(valid)?;
            metrics.extend(evaluation.metrics());
            let top1 = evaluation.result().top1;
            self.descent.report(top1);
            best = self
                .state
                .best
                .as_ref()
                .is_none_or(|best| top1 > best.result().top1);
            if best {
                self.state.best = Some(evaluation.clone());
                self.state.waited = 0;
                self.best = self.model.valid();
            } else {
                self.state.waited += 1;
            }
            self.evaluation = Some(evaluation);
        }
        for method in &mut self.methods {
            method.hooks.epoch_end(&metrics)?;
        }
        self.state.epoch += 1;
        self.state.batch = 0;
        let (epoch, step) = (self.state.epoch, self.state.step);
        observer.observe(&Event::Epoch {
            epoch,
            step,
            stage: stage.map(|index| self.stages.get(index).name.clone()),
            metrics,
            best,
        });
        let keep = self
            .config
            .checkpoint_every
            .is_some_and(|every| epoch.is_multiple_of(every));
        self.save(best, keep, observer)?;
        self.unread.restart();
        Ok(())
    }

    fn evaluate(&self, valid: &Loader) -> Result<CohortEvaluation, TrainError> {
        let model = self.model.valid();
        let predict = |pictures| model.predict(pictures);
        let evaluation = evaluate_cohort(valid, &self.names, model.peers(), self.chosen, predict)?;
        let loss = evaluation.result().loss;
        if loss.is_finite() {
            return Ok(evaluation);
        }
        Err(TrainError::NotFinite {
            term: "validation".to_owned(),
            value: loss as f32,
            step: self.state.step,
        })
    }
}
