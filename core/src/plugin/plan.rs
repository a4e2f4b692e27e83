//! What methods see of a run while they plan, and what they may ask for: terms, taps, auxiliary
//! networks, stages.

use indexmap::IndexSet;

use super::architecture::Architecture;
use super::cohort::Students;
use super::error::PluginError;
use super::objective::{Auxiliary, Gate, Objective, Stage, Turns};
use crate::graph::Graph;
use crate::task::cohort::Chosen;

/// What training is going to be; plugins add what they need.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The teachers, possibly none.
    pub teachers: Vec<Architecture<'a>>,
    /// The students, at least one; each as if it were alone.
    pub students: Vec<Architecture<'a>>,
    /// Whether the last student is the leader of the others.
    pub leader: bool,
    /// The number of classes.
    pub classes: usize,
    /// The number of epochs of the main stage.
    pub epochs: usize,
    fork: Option<String>,
    objective: Objective,
}

impl<'a> Plan<'a> {
    /// A plan before any plugin was asked.
    ///
    /// # Errors
    /// Networks whose shapes do not fit.
    pub fn new(
        students: &'a Students,
        teachers: impl IntoIterator<Item = &'a Graph>,
        classes: usize,
        epochs: usize,
    ) -> Result<Self, PluginError> {
        let members = &students.members;
        let leads = students.leader.then(|| members.len().saturating_sub(1));
        Ok(Self {
            students: members
                .iter()
                .map(|student| Architecture::new(&student.name, &student.graph))
                .collect::<Result<_, _>>()?,
            teachers: teachers
                .into_iter()
                .enumerate()
                .map(|(index, graph)| Architecture::new(&format!("teacher{index}"), graph))
                .collect::<Result<_, _>>()?,
            leader: students.leader,
            classes,
            epochs,
            fork: students.fork.clone(),
            objective: Objective {
                student_taps: vec![IndexSet::new(); members.len()],
                chosen: Chosen::Member(leads.unwrap_or(0)),
                ..Objective::default()
            },
        })
    }

    /// Refuses to go on without a teacher.
    ///
    /// # Errors
    /// [`PluginError::NeedsTeacher`].
    pub fn require_teacher(&self, plugin: &str) -> Result<(), PluginError> {
        if self.teachers.is_empty() {
            return Err(PluginError::NeedsTeacher {
                plugin: plugin.to_owned(),
            });
        }
        Ok(())
    }

    /// Declares a loss term with its formula, for `--dry-run` and the report.
    pub fn declare_term(&mut self, name: &str, formula: &str) {
        self.objective.terms.insert(name.to_owned(), formula.to_owned());
    }

    /// Says that the method brings its own loss on the true classes, so that none is added.
    pub fn brings_task_term(&mut self) {
        self.objective.brings_task_term = true;
    }

    /// Asks for a value of every teacher.
    ///
    /// # Errors
    /// A teacher without that value, with the nearest names.
    pub fn tap_teachers(&mut self, value: &str) -> Result<(), PluginError> {
        for teacher in &self.teachers {
            teacher.check_value(value)?;
        }
        self.objective.teacher_taps.insert(value.to_owned());
        Ok(())
    }

    /// Asks for a value of every student.
    ///
    /// # Errors
    /// A student without that value, with the nearest names.
    pub fn tap_students(&mut self, value: &str) -> Result<(), PluginError> {
        (0..self.students.len()).try_for_each(|student| self.tap_student(student, value))
    }

    /// Asks for a value of one student.
    ///
    /// # Errors
    /// A student without that value, with the nearest names.
    pub fn tap_student(&mut self, student: usize, value: &str) -> Result<(), PluginError> {
        self.students[student].check_value(value)?;
        self.objective.student_taps[student].insert(value.to_owned());
        Ok(())
    }

    /// The value that all branches share, where the students are branches; asking for it taps it.
    ///
    /// # Errors
    /// A student without that value.
    pub fn tap_fork(&mut self) -> Result<Option<String>, PluginError> {
        let fork = self.fork.clone();
        if let Some(fork) = &fork {
            self.tap_student(0, fork)?;
        }
        Ok(fork)
    }

    /// Adds a network that is trained beside the students and left out of the export.
    pub fn add_auxiliary(&mut self, name: &str, graph: Graph) {
        self.objective.auxiliaries.push(Auxiliary {
            name: name.to_owned(),
            graph,
        });
    }

    /// Puts a stage before the main one.
    pub fn add_stage(&mut self, stage: Stage) {
        self.objective.stages.push(stage);
    }

    /// Makes the ensemble Σ_i g_i z_i, with g `[batch, members]` what the auxiliary network `gate`
    /// makes of the shared value; without a gate it is the mean of the peers' probabilities.
    pub fn gate_ensemble(&mut self, gate: &str) {
        self.objective.gate = self.fork.clone().map(|fork| Gate {
            auxiliary: gate.to_owned(),
            fork,
        });
    }

    /// Has the members updated in this order.
    pub fn update_in(&mut self, turns: Turns) {
        self.objective.turns = turns;
    }

    /// Asks for the gradient of the loss on the true classes by itself, beside that of the whole
    /// loss; costs a second pass through the students.
    pub fn separate_task_gradient(&mut self) {
        self.objective.separate_task_gradient = true;
    }

    /// Says that the method keeps momentum and weight decay itself, so that the optimizer must have
    /// neither.
    pub fn keeps_momentum(&mut self, plugin: &'static str) {
        self.objective.keeper_of_momentum = Some(plugin);
    }

    /// Makes this the run's result, unless the user asks for another.
    pub fn choose(&mut self, chosen: Chosen) {
        self.objective.chosen = chosen;
    }

    /// What the methods have asked for.
    pub(super) fn into_objective(self) -> Objective {
        self.objective
    }

    /// What the methods have asked for so far.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }
}
