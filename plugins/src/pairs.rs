//! Which values of student and teacher a method compares: options `guided` and `hint`, as FitNets calls them, or what the networks suggest.

use std::sync::{PoisonError, RwLock};

use burn::tensor::Tensor;
use potstill_core::plugin::{Observation, Plan, PluginError, Step};
use serde::{Deserialize, Deserializer};

/// Deserialises a value's name, or a list of them.
pub fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(text) => vec![text],
        Written::Many(texts) => texts,
    })
}

/// Refuses lists of different lengths.
///
/// # Errors
/// [`PluginError::BadValue`] for `guided`.
pub fn check_lengths(plugin: &str, hint: &[String], guided: &[String]) -> Result<(), PluginError> {
    if hint.len() == guided.len() {
        return Ok(());
    }
    let got = format!("{} for {} hints", guided.len(), hint.len());
    Err(PluginError::bad_value(
        plugin,
        "guided",
        got,
        "one value of the student for each hint",
    ))
}

/// What is compared where the options name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// The last feature map of each stage, a stage being what has the same extents; the networks' last stages match.
    Stages,
    /// The features that the classifiers read.
    Features,
}

/// One value of the student and the teacher's value for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The student's.
    pub guided: String,
    /// The teacher's.
    pub hint: String,
    /// The extents of the student's at batch 1.
    pub from: Vec<usize>,
    /// The extents of the teacher's at batch 1.
    pub to: Vec<usize>,
}

/// The pairs of a method: as options give them, and, once a plan is made, as they are.
#[derive(Debug)]
pub struct Pairs {
    plugin: &'static str,
    hint: Vec<String>,
    guided: Vec<String>,
    suggestion: Suggestion,
    /// For each student. Hooks have the method by reference, and a plan is made before the first step.
    chosen: RwLock<Vec<Vec<Pair>>>,
}

impl Pairs {
    /// Pairs as options give them; both lists empty: as `suggestion` says.
    ///
    /// # Errors
    /// Lists of different lengths.
    pub fn new(
        plugin: &'static str,
        hint: &[String],
        guided: &[String],
        suggestion: Suggestion,
    ) -> Result<Self, PluginError> {
        check_lengths(plugin, hint, guided)?;
        Ok(Self {
            plugin,
            hint: hint.to_vec(),
            guided: guided.to_vec(),
            suggestion,
            chosen: RwLock::default(),
        })
    }

    /// Chooses the pairs of every student, and asks for their values.
    ///
    /// # Errors
    /// No teacher, a value that a network does not have, networks without anything to compare.
    pub fn prepare(&self, plan: &mut Plan<'_>) -> Result<Vec<Vec<Pair>>, PluginError> {
        plan.require_teacher(self.plugin)?;
        let mut chosen = Vec::new();
        for student in 0..plan.students.len() {
            let pairs = self.of(&plan.students[student], &plan.teachers[0])?;
            for pair in &pairs {
                plan.tap_student(student, &pair.guided)?;
                plan.tap_teachers(&pair.hint)?;
            }
            chosen.push(pairs);
        }
        self.chosen
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&chosen);
        Ok(chosen)
    }

    fn of(&self, student: &Observation<'_>, teacher: &Observation<'_>) -> Result<Vec<Pair>, PluginError> {
        let (guided, hint) = if self.hint.is_empty() {
            self.suggest(student, teacher)
        } else {
            (self.guided.clone(), self.hint.clone())
        };
        if hint.is_empty() {
            return Err(PluginError::bad_value(
                self.plugin,
                "hint",
                "not given",
                "a value of the teacher, and `guided` one of the student, as these networks suggest none (`potstill inspect FILE` and `potstill inspect ARCHITECTURE` list them)",
            ));
        }
        guided
            .into_iter()
            .zip(hint)
            .map(|(guided, hint)| {
                Ok(Pair {
                    from: student.dims(&guided)?,
                    to: teacher.dims(&hint)?,
                    guided,
                    hint,
                })
            })
            .collect()
    }

    fn suggest(&self, student: &Observation<'_>, teacher: &Observation<'_>) -> (Vec<String>, Vec<String>) {
        match self.suggestion {
            Suggestion::Features => match (student.features(), teacher.features()) {
                (Some(guided), Some(hint)) => (vec![guided], vec![hint]),
                _ => (Vec::new(), Vec::new()),
            },
            Suggestion::Stages => {
                let (mut guided, mut hint) = (stage_ends(student), stage_ends(teacher));
                let count = guided.len().min(hint.len());
                (
                    guided.split_off(guided.len() - count),
                    hint.split_off(hint.len() - count),
                )
            }
        }
    }

    /// The values of each pair in a step, of rank `D`, the student's before the teacher's.
    ///
    /// # Errors
    /// A value that was not asked for, or of another rank.
    pub fn taps<const D: usize>(
        &self,
        step: &Step<'_>,
        student: usize,
        teacher: usize,
    ) -> Result<Vec<(Tensor<D>, Tensor<D>)>, PluginError> {
        let chosen = self.chosen.read().unwrap_or_else(PoisonError::into_inner);
        let pairs = chosen.get(student).map(Vec::as_slice).unwrap_or_default();
        pairs
            .iter()
            .map(|pair| {
                let guided = step.students[student].tap::<D>(&pair.guided)?;
                Ok((guided, step.teachers[teacher].tap::<D>(&pair.hint)?))
            })
            .collect()
    }
}

/// The last feature map of each stage: of each extent of more than one pixel that the network's maps pass through, on the way to the logits.
pub fn stage_ends(network: &Observation<'_>) -> Vec<String> {
    let mut ends: Vec<(&[usize], &str)> = Vec::new();
    for name in network.graph.nodes.iter().flat_map(|node| &node.outputs) {
        let Some([_, _, extents @ ..]) = network.facts.get(name).map(|fact| fact.dims.as_slice()) else {
            continue;
        };
        if extents.len() != 2 || extents.iter().product::<usize>() < 2 {
            continue;
        }
        match ends.iter_mut().find(|(known, _)| *known == extents) {
            Some(end) => end.1 = name,
            None => ends.push((extents, name)),
        }
    }
    ends.into_iter().map(|(_, name)| name.to_owned()).collect()
}
