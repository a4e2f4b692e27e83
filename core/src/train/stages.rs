//! The epochs of a run: those of the stages before the main one, then the main one's.

use crate::plugin::Stage;

/// The stages of a run with their epochs.
#[derive(Clone, Debug)]
pub(super) struct Stages {
    /// Before the main one.
    before: Vec<Stage>,
    /// Epochs of the main one.
    main: usize,
}

/// Where an epoch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The stage before the main one; `None` is the main one.
    pub stage: Option<usize>,
    /// Epochs done in this stage.
    pub epoch: usize,
    /// Epochs of this stage in all.
    pub epochs: usize,
}

impl Stages {
    /// Those before the main one, and the epochs of that.
    pub fn new(before: Vec<Stage>, main: usize) -> Self {
        Self { before, main }
    }

    /// Epochs of all stages.
    pub fn epochs(&self) -> usize {
        self.before_main() + self.main
    }

    /// Epochs before the main stage.
    pub fn before_main(&self) -> usize {
        self.before.iter().map(|stage| stage.epochs).sum()
    }

    /// A stage before the main one.
    pub fn get(&self, index: usize) -> &Stage {
        &self.before[index]
    }

    /// Where an epoch lies, of which `epoch` have been done before it.
    pub fn place(&self, mut epoch: usize) -> Place {
        for (index, stage) in self.before.iter().enumerate() {
            if epoch < stage.epochs {
                return Place {
                    stage: Some(index),
                    epoch,
                    epochs: stage.epochs,
                };
            }
            epoch -= stage.epochs;
        }
        Place {
            stage: None,
            epoch,
            epochs: self.main,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_lie_in_the_stages_in_their_order() {
        let stage = |epochs| Stage {
            name: "init".to_owned(),
            plugin: "fitnets",
            epochs,
            learning_rate: None,
            student_values: Vec::new(),
            teacher_values: Vec::new(),
        };
        let stages = Stages::new(vec![stage(2), stage(1)], 5);
        assert_eq!((stages.epochs(), stages.before_main()), (8, 3));
        let place = |epoch| {
            let Place { stage, epoch, epochs } = stages.place(epoch);
            (stage, epoch, epochs)
        };
        assert_eq!(place(1), (Some(0), 1, 2));
        assert_eq!(place(2), (Some(1), 0, 1));
        assert_eq!(place(3), (None, 0, 5));
        assert_eq!(place(7), (None, 4, 5));
    }
}
