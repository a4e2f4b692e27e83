//! What plugins ask for before training: terms, taps, auxiliary networks, stages.

use indexmap::{IndexMap, IndexSet};

use super::{Plugin, PluginError, Students};
use crate::graph::{Facts, Graph, infer};
use crate::schedule::Schedule;

/// A network that a method trains beside the students and that is never exported: a regressor, a gate.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    /// Its name, under which [`Step::auxiliary`](super::Step::auxiliary) finds it.
    pub name: String,
    /// The network.
    pub graph: Graph,
}

/// A part of training before the main one, in which one method alone is at work; it starts with a fresh optimizer, and so does what follows it.
///
/// Networks run only as far as the stage's values need; there are no logits, and nothing is evaluated.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name, under which the method finds it in [`Step::stage`](super::Step::stage).
    pub name: String,
    /// The method.
    pub plugin: &'static str,
    /// Passes over the training data.
    pub epochs: usize,
    /// The learning rate over the stage's epochs; `None` takes the run's own, its schedule stretched over the stage.
    pub learning_rate: Option<Schedule>,
    /// Values of the students that the stage needs.
    pub student_values: Vec<String>,
    /// Values of the teachers that the stage needs.
    pub teacher_values: Vec<String>,
}

/// In which order the members of a cohort are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// All of them in one step.
    #[default]
    Together,
    /// One after the other, each seeing what those before it have become.
    InTurn,
}

/// Which of a cohort's members is the run's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// This one.
    Member(usize),
    /// The one with the highest validation accuracy.
    Best,
    /// All together.
    Ensemble,
}

/// A network as a plugin sees it while planning: its structure, not its weights.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The member's or the teacher's name.
    pub name: String,
    /// The network.
    pub graph: &'a Graph,
    /// The value that holds the logits `[batch, classes]`.
    pub logits: String,
    /// Shapes of all its values at batch 1.
    pub facts: Facts,
}

impl<'a> Observation<'a> {
    /// Looks at a network whose first output is its logits.
    ///
    /// # Errors
    /// A node that refuses its inputs.
    pub fn new(name: &str, graph: &'a Graph) -> Result<Self, PluginError> {
        let logits = graph
            .outputs
            .first()
            .map(|output| output.name.clone())
            .unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            graph,
            logits,
            facts: infer(graph, 1)?,
        })
    }

    /// Refuses a name that is no value of the network.
    ///
    /// # Errors
    /// [`PluginError::Value`] with the network and the nearest names.
    pub fn check_value(&self, value: &str) -> Result<(), PluginError> {
        self.graph
            .check_value(value)
            .map_err(|source| PluginError::Value {
                network: self.name.clone(),
                source,
            })
    }

    /// The extents of a value at batch 1.
    ///
    /// # Errors
    /// A value that the network does not have, with the nearest names.
    pub fn dims(&self, value: &str) -> Result<Vec<usize>, PluginError> {
        self.check_value(value)?;
        Ok(self
            .facts
            .get(value)
            .map(|fact| fact.dims.clone())
            .unwrap_or_default())
    }

    /// The features that the classifier reads.
    pub fn features(&self) -> Option<String> {
        self.graph.features_before(&self.logits).map(str::to_owned)
    }
}

/// What training is going to be; plugins add what they need.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The teachers, possibly none.
    pub teachers: Vec<Observation<'a>>,
    /// The students, at least one; each as if it were alone.
    pub students: Vec<Observation<'a>>,
    /// Whether the last student is the leader of the others.
    pub leader: bool,
    /// The number of classes.
    pub classes: usize,
    /// The number of epochs of the main stage.
    pub epochs: usize,
    fork: Option<String>,
    terms: IndexMap<String, String>,
    teacher_taps: IndexSet<String>,
    student_taps: Vec<IndexSet<String>>,
    auxiliaries: Vec<Auxiliary>,
    stages: Vec<Stage>,
    gate: Option<String>,
    turns: Turns,
    chosen: Chosen,
    task_term: bool,
    separate_task: bool,
    own_momentum: Option<&'static str>,
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
                .map(|student| Observation::new(&student.name, &student.graph))
                .collect::<Result<_, _>>()?,
            teachers: teachers
                .into_iter()
                .enumerate()
                .map(|(index, graph)| Observation::new(&format!("teacher{index}"), graph))
                .collect::<Result<_, _>>()?,
            leader: students.leader,
            classes,
            epochs,
            fork: students.fork.clone(),
            terms: IndexMap::new(),
            teacher_taps: IndexSet::new(),
            student_taps: vec![IndexSet::new(); members.len()],
            auxiliaries: Vec::new(),
            stages: Vec::new(),
            gate: None,
            turns: Turns::default(),
            chosen: Chosen::Member(leads.unwrap_or(0)),
            task_term: false,
            separate_task: false,
            own_momentum: None,
        })
    }

    /// The plan after every plugin was asked; where none brings the loss on the true classes, that is added.
    ///
    /// # Errors
    /// Networks whose shapes do not fit, or what a plugin refuses.
    pub fn prepared(
        students: &'a Students,
        teachers: impl IntoIterator<Item = &'a Graph>,
        plugins: &[Box<dyn Plugin>],
        classes: usize,
        epochs: usize,
    ) -> Result<Self, PluginError> {
        let mut plan = Plan::new(students, teachers, classes, epochs)?;
        for plugin in plugins {
            plugin.prepare(&mut plan)?;
        }
        if !plan.has_task_term() {
            plan.declare_term("ce", "CE(z_s, y)");
        }
        Ok(plan)
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
        self.terms.insert(name.to_owned(), formula.to_owned());
    }

    /// Says that the method brings its own loss on the true classes, so that none is added.
    pub fn brings_task_term(&mut self) {
        self.task_term = true;
    }

    /// Asks for a value of every teacher.
    ///
    /// # Errors
    /// A teacher without that value, with the nearest names.
    pub fn tap_teachers(&mut self, value: &str) -> Result<(), PluginError> {
        for teacher in &self.teachers {
            teacher.check_value(value)?;
        }
        self.teacher_taps.insert(value.to_owned());
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
        self.student_taps[student].insert(value.to_owned());
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
        self.auxiliaries.push(Auxiliary {
            name: name.to_owned(),
            graph,
        });
    }

    /// Puts a stage before the main one.
    pub fn add_stage(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    /// Makes the ensemble Σ_i g_i z_i, with g `[batch, members]` what the auxiliary network `gate` makes of the shared value; without a gate it is
    /// the mean of the peers' probabilities.
    pub fn gate_ensemble(&mut self, gate: &str) {
        self.gate = Some(gate.to_owned());
    }

    /// Has the members updated in this order.
    pub fn update_in(&mut self, turns: Turns) {
        self.turns = turns;
    }

    /// Asks for the gradient of the loss on the true classes by itself, beside that of the whole loss; costs a second pass through the students.
    pub fn separate_task_gradient(&mut self) {
        self.separate_task = true;
    }

    /// Says that the method keeps momentum and weight decay itself, so that the optimizer must have neither.
    pub fn keeps_momentum(&mut self, plugin: &'static str) {
        self.own_momentum = Some(plugin);
    }

    /// Makes this the run's result, unless the user asks for another.
    pub fn choose(&mut self, chosen: Chosen) {
        self.chosen = chosen;
    }

    /// The declared terms with their formulas.
    pub fn terms(&self) -> &IndexMap<String, String> {
        &self.terms
    }

    /// Values asked of the teachers.
    pub fn teacher_taps(&self) -> &IndexSet<String> {
        &self.teacher_taps
    }

    /// Values asked of each student.
    pub fn student_taps(&self) -> &[IndexSet<String>] {
        &self.student_taps
    }

    /// The auxiliary networks.
    pub fn auxiliaries(&self) -> &[Auxiliary] {
        &self.auxiliaries
    }

    /// The stages before the main one.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The auxiliary network that weighs the members' logits, and the shared value that it reads.
    pub fn gate(&self) -> Option<(&str, &str)> {
        Some((self.gate.as_deref()?, self.fork.as_deref()?))
    }

    /// In which order the members are updated.
    pub fn turns(&self) -> Turns {
        self.turns
    }

    /// The run's result.
    pub fn chosen(&self) -> Chosen {
        self.chosen
    }

    /// The plugin that keeps momentum and weight decay itself.
    pub fn keeper_of_momentum(&self) -> Option<&'static str> {
        self.own_momentum
    }

    /// Whether a plugin asked for the gradient of the loss on the true classes by itself.
    pub fn separates_task_gradient(&self) -> bool {
        self.separate_task
    }

    /// Whether a plugin brings the loss on the true classes.
    pub fn has_task_term(&self) -> bool {
        self.task_term
    }
}
