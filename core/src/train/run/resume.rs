//! A run's checkpoints: writing one, and going on from the last.

use burn::store::ModuleRecord;

use super::TrainingRun;
use crate::network::Network;
use crate::train::checkpoint::{Progress, Which};
use crate::train::distillation::Distillation;
use crate::train::error::TrainError;
use crate::train::observer::{Event, Observer};

impl TrainingRun {
    /// Takes up the last checkpoint.
    ///
    /// # Errors
    /// A checkpoint that is damaged, or one of other networks.
    pub(super) fn restore(&mut self) -> Result<(), TrainError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        let put = |which, loaded: (ModuleRecord, ModuleRecord), model: &mut Distillation| {
            model.students = checkpoints.put(which, loaded.0, model.students.clone())?;
            model.auxiliaries = checkpoints.put(which, loaded.1, model.auxiliaries.clone())?;
            Ok::<(), TrainError>(())
        };
        if checkpoints.exists(Which::Best) {
            let best = checkpoints.load(Which::Best)?;
            put(Which::Best, (best.students, best.auxiliaries), &mut self.best)?;
        }
        let last = checkpoints.load(Which::Last)?;
        put(Which::Last, (last.students, last.auxiliaries), &mut self.model)?;
        self.state = last.state;
        let mut methods = last.methods;
        for method in &mut self.methods {
            method
                .hooks
                .restore(methods.remove(method.name).unwrap_or_default());
        }
        self.enter_stage();
        if !self.begins_stage() {
            self.descent.restore(last.optimizer, last.learning_rate);
        }
        Ok(())
    }

    /// Writes a checkpoint and tells of it.
    ///
    /// # Errors
    /// A disk that refuses.
    pub(super) fn save(&self, best: bool, keep: bool, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        self.model
            .students
            .iter()
            .chain(&self.model.auxiliaries)
            .for_each(Network::settle);
        let progress = Progress {
            model: &self.model,
            methods: &self.methods,
            optimizer: &self.descent.optimizer,
            learning_rate: self.descent.record(),
            state: &self.state,
        };
        checkpoints.save(&progress, best, keep)?;
        observer.observe(&Event::Checkpoint {
            step: self.state.step,
        });
        Ok(())
    }
}
