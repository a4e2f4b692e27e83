//! Distillation-oriented training. B. Zhao, Q. Cui, R. Song, J. Liang: "DOT: A
//! Distillation-Oriented Trainer", 2023 (arXiv 2307.08436), equations 5 to 7.
//!
//! Task and distillation gradient have a momentum of their own, so that the task's does not drown
//! the other: v_task ← g_task + (μ − Δ) v_task, v_soft ← g_soft + (μ + Δ) v_soft, θ ← θ − lr ·
//! (v_task + v_soft). Brings no loss: it goes with a method that has one
//! (`--plugin kd --plugin dot`), and with an optimizer without momentum and decay, as both are here
//! (`--optimizer sgd:momentum=0,nesterov=false,weight-decay=0`).
//!
//! The task's gradient is that of the terms named `ce`; everything else is the distillation's.
//! Weight decay is added to the task's gradient. A network with Dropout draws its masks anew for
//! the second gradient.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term, Update,
};

options! {
    /// Distillation-oriented training.
    pub struct Dot for "dot", check Dot::check_momenta {
        /// μ; the optimizer's own is to be 0
        momentum: f64 = 0.9;
        /// Δ: the task's momentum is μ − Δ, the distillation's μ + Δ
        delta: f64 = 0.075;
        /// share of the weights added to the task's gradient; the optimizer's own is to be 0
        weight_decay: f64 = 5e-4, in 0.0..;
    }
}

/// One weight's two velocities.
#[derive(Clone, Debug)]
struct Velocity {
    task: Tensor<1>,
    soft: Tensor<1>,
}

/// DOT at work.
#[derive(Debug)]
struct PreparedDot {
    method: Dot,
    /// By network and weight.
    velocities: BTreeMap<(usize, usize), Velocity>,
}

impl Dot {
    /// Refuses momenta outside 0 to below 1.
    fn check_momenta(&self) -> Result<(), PluginError> {
        let range = 0.0..1.0;
        if range.contains(&(self.momentum - self.delta)) && range.contains(&(self.momentum + self.delta)) {
            return Ok(());
        }
        Err(PluginError::bad_value(
            Self::PLUGIN,
            "delta",
            format!("{} beside a momentum of {}", self.delta, self.momentum),
            "both μ − Δ and μ + Δ from 0 to below 1",
        ))
    }
}

impl Plugin for Dot {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.separate_task_gradient();
        plan.keeps_momentum(Self::PLUGIN);
        Ok(Box::new(PreparedDot {
            method: self.clone(),
            velocities: BTreeMap::new(),
        }))
    }

    fn recorded(&self, _record: &Recorded) -> Result<Vec<Term>, PluginError> {
        Ok(Vec::new())
    }
}

impl Prepared for PreparedDot {
    fn loss(&mut self, _step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        Ok(Vec::new())
    }

    fn optimizer_step(&mut self, update: &mut Update<'_>) -> Result<(), PluginError> {
        // A stage before the main one has one gradient alone.
        let Some(task) = update.task_gradients else {
            return Ok(());
        };
        let Dot {
            momentum,
            delta,
            weight_decay,
        } = self.method;
        let velocities = &mut self.velocities;
        for (index, network) in update.students.iter().enumerate() {
            let task = network.gradients(task);
            network.change_gradients(update.gradients, |weight, all, value| {
                let task = match &task[weight] {
                    Some(task) => task.clone(),
                    None => all.zeros_like(),
                };
                let soft = all - task.clone();
                let task = task + value * weight_decay;
                let velocity = match velocities.remove(&(index, weight)) {
                    None => Velocity { task, soft },
                    Some(old) => {
                        let device = task.device();
                        Velocity {
                            task: task + old.task.to_device(&device) * (momentum - delta),
                            soft: soft + old.soft.to_device(&device) * (momentum + delta),
                        }
                    }
                };
                let sum = velocity.task.clone() + velocity.soft.clone();
                velocities.insert((index, weight), velocity);
                sum
            });
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor<1>)> {
        self.velocities
            .iter()
            .flat_map(|((network, weight), velocity)| {
                [
                    (format!("{network}.{weight}.task"), velocity.task.clone()),
                    (format!("{network}.{weight}.soft"), velocity.soft.clone()),
                ]
            })
            .collect()
    }

    fn restore(&mut self, state: Vec<(String, Tensor<1>)>) {
        self.velocities.clear();
        for (name, tensor) in state {
            let mut parts = name.split('.');
            let mut number = || parts.next()?.parse().ok();
            let (Some(network), Some(weight)) = (number(), number()) else {
                continue;
            };
            let zeros = tensor.zeros_like();
            let velocity = self
                .velocities
                .entry((network, weight))
                .or_insert_with(|| Velocity {
                    task: zeros.clone(),
                    soft: zeros,
                });
            if name.ends_with(".task") {
                velocity.task = tensor;
            } else {
                velocity.soft = tensor;
            }
        }
    }
}

inventory::submit! {
    PluginEntry::new::<Dot>(
        "separate momenta for the task's and the distillation's gradient; goes with a method that distils",
        Paper {
            title: "DOT: A Distillation-Oriented Trainer",
            authors: "Zhao, Cui, Song, Liang",
            year: 2023,
            arxiv: "2307.08436",
        },
    )
}
