//! The optimizer and the learning rate of a stage: both start afresh with it, and both are kept in
//! checkpoints.

use burn_optim::lr_scheduler::LrSchedulerRecord;
use burn_optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn_optim::{ModuleOptimizer, OptimizerRecord};

use super::config::TrainConfig;
use super::learning_rate::LearningRate;

/// The optimizer and the learning rate of a stage.
pub(super) struct Descent {
    /// The optimizer with its state.
    pub optimizer: ModuleOptimizer,
    scheduler: ModuleLrScheduler,
    schedule: LearningRate,
}

impl Descent {
    /// Both at a stage's first step.
    pub fn new(config: &TrainConfig, schedule: LearningRate) -> Self {
        Self {
            optimizer: config.build_optimizer(),
            scheduler: ModuleLrScheduler::new(schedule.clone()),
            schedule,
        }
    }

    /// The learning rate of the next step.
    pub fn next_rate(&mut self) -> f64 {
        self.scheduler.step().base()
    }

    /// Tells the schedule how accurate the student is.
    pub fn report(&mut self, top1: f64) {
        self.schedule.report(top1);
    }

    /// The schedule's state.
    pub fn record(&self) -> LrSchedulerRecord {
        self.scheduler.to_record()
    }

    /// Takes up the state of a checkpoint.
    pub fn restore(&mut self, optimizer: OptimizerRecord, learning_rate: LrSchedulerRecord) {
        self.optimizer = self.optimizer.clone().load_record(optimizer);
        self.scheduler = self.scheduler.clone().load_record(learning_rate);
    }
}
