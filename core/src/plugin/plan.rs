//! What plugins ask for before training: terms, taps, auxiliary networks.

use indexmap::{IndexMap, IndexSet};

use super::{Plugin, PluginError};
use crate::graph::{Facts, Graph, infer};

/// A network that a method trains beside the students and that is never exported: a regressor, a gate.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    /// Its name, under which [`Step::auxiliary`](super::Step::auxiliary) finds it.
    pub name: String,
    /// The network.
    pub graph: Graph,
}

/// A network as a plugin sees it while planning: its structure, not its weights.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
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
    pub fn new(graph: &'a Graph) -> Result<Self, PluginError> {
        let logits = graph
            .outputs
            .first()
            .map(|output| output.name.clone())
            .unwrap_or_default();
        Ok(Self {
            graph,
            logits,
            facts: infer(graph, 1)?,
        })
    }
}

/// What training is going to be; plugins add what they need.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The teachers, possibly none.
    pub teachers: Vec<Observation<'a>>,
    /// The students, at least one.
    pub students: Vec<Observation<'a>>,
    /// The number of classes.
    pub classes: usize,
    /// The number of epochs.
    pub epochs: usize,
    terms: IndexMap<String, String>,
    teacher_taps: IndexSet<String>,
    student_taps: IndexSet<String>,
    auxiliaries: Vec<Auxiliary>,
    task_term: bool,
}

impl<'a> Plan<'a> {
    /// A plan before any plugin was asked.
    pub fn new(
        teachers: Vec<Observation<'a>>,
        students: Vec<Observation<'a>>,
        classes: usize,
        epochs: usize,
    ) -> Self {
        Self {
            teachers,
            students,
            classes,
            epochs,
            terms: IndexMap::new(),
            teacher_taps: IndexSet::new(),
            student_taps: IndexSet::new(),
            auxiliaries: Vec::new(),
            task_term: false,
        }
    }

    /// The plan after every plugin was asked; where none brings the loss on the true classes, that is added.
    ///
    /// # Errors
    /// Networks whose shapes do not fit, or what a plugin refuses.
    pub fn prepared(
        students: impl IntoIterator<Item = &'a Graph>,
        teachers: impl IntoIterator<Item = &'a Graph>,
        plugins: &[Box<dyn Plugin>],
        classes: usize,
        epochs: usize,
    ) -> Result<Self, PluginError> {
        let students = students
            .into_iter()
            .map(Observation::new)
            .collect::<Result<_, _>>()?;
        let teachers = teachers
            .into_iter()
            .map(Observation::new)
            .collect::<Result<_, _>>()?;
        let mut plan = Plan::new(teachers, students, classes, epochs);
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
            teacher.graph.check_value(value)?;
        }
        self.teacher_taps.insert(value.to_owned());
        Ok(())
    }

    /// Asks for a value of every student.
    ///
    /// # Errors
    /// A student without that value, with the nearest names.
    pub fn tap_students(&mut self, value: &str) -> Result<(), PluginError> {
        for student in &self.students {
            student.graph.check_value(value)?;
        }
        self.student_taps.insert(value.to_owned());
        Ok(())
    }

    /// Adds a network that is trained beside the students and left out of the export.
    pub fn add_auxiliary(&mut self, name: &str, graph: Graph) {
        self.auxiliaries.push(Auxiliary {
            name: name.to_owned(),
            graph,
        });
    }

    /// The declared terms with their formulas.
    pub fn terms(&self) -> &IndexMap<String, String> {
        &self.terms
    }

    /// Values asked of the teachers.
    pub fn teacher_taps(&self) -> &IndexSet<String> {
        &self.teacher_taps
    }

    /// Values asked of the students.
    pub fn student_taps(&self) -> &IndexSet<String> {
        &self.student_taps
    }

    /// The auxiliary networks.
    pub fn auxiliaries(&self) -> &[Auxiliary] {
        &self.auxiliaries
    }

    /// Whether a plugin brings the loss on the true classes.
    pub fn has_task_term(&self) -> bool {
        self.task_term
    }
}
