//! A step of distillation and the update that follows: all students together, or one after the
//! other.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use burn_optim::{GradientsParams, ModuleOptimizer};

use super::distillation::{Distillation, Ran, TimedBatch};
use super::error::TrainError;
use crate::cpu::on_pool;
use crate::network::Network;
use crate::op::Mode;
use crate::plugin::{Member, Method, Term, Time, Update};

/// The gradients of one step.
#[derive(Debug)]
pub struct Gradients {
    /// Of the whole loss.
    pub whole: GradientsParams,
    /// Of the loss on the true classes alone, where a method asked for them.
    pub task: Option<GradientsParams>,
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

impl Distillation {
    /// The gradients of one step and what it gave. On the CPU, it runs on a thread that computes.
    ///
    /// # Errors
    /// What a method refuses, pictures that do not fit.
    pub fn step(
        &self,
        methods: &mut [Method],
        item: TimedBatch,
    ) -> Result<(Gradients, StepReport), TrainError> {
        let on_cpu = self
            .students
            .iter()
            .all(|student| student.device() == Device::flex());
        if !on_cpu {
            return self.try_step(methods, item);
        }
        on_pool(|| {
            let output = self.try_step(methods, item);
            // Running statistics are pending on the thread that moved them, and the next step may
            // come by another.
            self.students
                .iter()
                .chain(&self.auxiliaries)
                .for_each(Network::settle);
            output
        })
    }

    fn try_step(
        &self,
        methods: &mut [Method],
        item: TimedBatch,
    ) -> Result<(Gradients, StepReport), TrainError> {
        let teachers = self.teachers(&item.batch, item.stage)?;
        let task = if self.supervision.separate_task_gradient && item.stage.is_none() {
            Some(self.task_gradient(methods, &item, &teachers)?)
        } else {
            None
        };
        let students =
            self.view(item.stage)
                .run(&self.students, item.batch.images.clone(), Mode::Training)?;
        let ran = Ran {
            teachers: &teachers,
            students: &students,
        };
        let terms = self.terms(methods, &item, ran, None, Mode::Training)?;
        let total = total(&terms)?;
        let whole = GradientsParams::from_grads(total.backward(), self);
        let report = StepReport {
            loss: total.detach(),
            terms: detached(terms),
            logits: students[0].logits().ok().map(Tensor::detach),
            labels: item.batch.labels,
        };
        Ok((Gradients { whole, task }, report))
    }

    /// The gradient of the terms on the true classes alone. Burn's backward pass uses a graph up,
    /// so this is a pass of its own.
    fn task_gradient(
        &self,
        methods: &mut [Method],
        item: &TimedBatch,
        teachers: &[Member],
    ) -> Result<GradientsParams, TrainError> {
        let pictures = item.batch.images.clone();
        let main = &self.supervision.main;
        let students = main.run(&self.students, pictures, Mode::Rehearsal)?;
        let ran = Ran {
            teachers,
            students: &students,
        };
        let mut terms = self.terms(methods, item, ran, None, Mode::Rehearsal)?;
        terms.retain(Term::is_task);
        Ok(match Term::total(&terms) {
            Some(total) => GradientsParams::from_grads(total.backward(), self),
            None => GradientsParams::new(),
        })
    }

    /// One step in which the members are updated one after the other, each on what those before it
    /// have become: Zhang et al. 2018, algorithm 1.
    ///
    /// # Errors
    /// What a method refuses.
    pub fn step_in_turn(
        mut self,
        methods: &mut [Method],
        item: TimedBatch,
        optimizer: &mut ModuleOptimizer,
        learning_rate: f64,
    ) -> Result<(Self, StepReport), TrainError> {
        let pictures = || item.batch.images.clone();
        let teachers = self.teachers(&item.batch, None)?;
        let supervision = self.supervision.clone();
        let tracked = supervision.main.run(&self.students, pictures(), Mode::Training)?;
        let mut seen: Vec<Member> = tracked.iter().map(Member::detached).collect();
        let (mut all, mut loss): (Vec<Term>, Option<Tensor<1>>) = (Vec::new(), None);
        for (turn, own) in tracked.iter().enumerate() {
            let mut students = seen.clone();
            students[turn] = own.clone();
            let ran = Ran {
                teachers: &teachers,
                students: &students,
            };
            let terms = self.terms(methods, &item, ran, Some(turn), Mode::Training)?;
            let total = total(&terms)?;
            let gradients = Gradients {
                whole: GradientsParams::from_grads(total.backward(), &self),
                task: None,
            };
            self = self.update(methods, optimizer, learning_rate, gradients, item.time)?;
            if turn + 1 < tracked.len() {
                // A validation snapshot keeps the running statistics of the network itself as they
                // are.
                let valid: Vec<Network> = self.students.iter().map(Module::valid).collect();
                seen[turn] = supervision
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

    /// The methods' optimizer hooks, then the optimizer.
    ///
    /// # Errors
    /// What a hook refuses.
    pub fn update(
        self,
        methods: &mut [Method],
        optimizer: &mut ModuleOptimizer,
        mut learning_rate: f64,
        gradients: Gradients,
        time: Time,
    ) -> Result<Self, TrainError> {
        let Gradients { mut whole, task } = gradients;
        for method in methods {
            let mut update = Update {
                students: &self.students,
                gradients: &mut whole,
                task_gradients: task.as_ref(),
                learning_rate: &mut learning_rate,
                time,
            };
            method.hooks.optimizer_step(&mut update)?;
        }
        Ok(optimizer.step(learning_rate, self, whole))
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
