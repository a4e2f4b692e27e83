//! Which values of student and teacher a method compares: options `guided` and `hint`, as FitNets calls them, or what the networks suggest.

use burn::tensor::Tensor;
use potstill_core::plugin::{Architecture, Plan, PluginError, PluginOption, Recorded, Stage, Step, Term};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Deserializer};

use crate::layers;

/// The option that names the teacher's values.
pub const HINT: PluginOption = PluginOption {
    name: "hint",
    doc: "value of the teacher, or a list of them; suggested by the networks when empty",
};
/// The option that names the student's values.
pub const GUIDED: PluginOption = PluginOption {
    name: "guided",
    doc: "value of the student, one for each hint",
};

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
    /// The last feature map of the last stage.
    LastStage,
    /// What the activation at the end of each stage reads.
    BeforeActivation,
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

/// The pairs of a method as options give them.
#[derive(Clone, Debug)]
pub struct Pairs {
    plugin: &'static str,
    hint: Vec<String>,
    guided: Vec<String>,
    suggestion: Suggestion,
    /// Whether the student's maps are brought to the teacher's channels by networks that train with it.
    connected: bool,
    /// Epochs of a stage before the main one, in which the method is alone; 0: it is beside the others in the main stage.
    init_epochs: usize,
}

/// The pairs of a method in one run.
#[derive(Clone, Debug)]
pub struct PreparedPairs {
    plugin: &'static str,
    connected: bool,
    /// Whether the method is alone in a stage of its own.
    alone: bool,
    /// For each student.
    chosen: Vec<Vec<Pair>>,
}

/// A method at work that compares pairs and remembers nothing else.
#[derive(Clone, Debug)]
pub struct OnPairs<M> {
    /// The method as it is configured.
    pub method: M,
    /// What it compares.
    pub pairs: PreparedPairs,
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
            connected: false,
            init_epochs: 0,
        })
    }

    /// Has the student's maps pass through connectors: a 1 × 1 convolution to the teacher's channels, and BatchNorm.
    pub fn connected(mut self) -> Self {
        self.connected = true;
        self
    }

    /// Has the method work alone, in a stage of this many epochs before the main one; 0 leaves it in the main stage.
    pub fn before_the_rest(mut self, epochs: usize) -> Self {
        self.init_epochs = epochs;
        self
    }

    /// Chooses the pairs of every student, and asks for their values.
    ///
    /// # Errors
    /// No teacher, a value that a network does not have, networks without anything to compare.
    pub fn prepare(&self, plan: &mut Plan<'_>) -> Result<PreparedPairs, PluginError> {
        plan.require_teacher(self.plugin)?;
        let mut chosen = Vec::new();
        for student in 0..plan.students.len() {
            let pairs = self.of(&plan.students[student], &plan.teachers[0])?;
            for (place, pair) in pairs.iter().enumerate() {
                for teacher in &plan.teachers[1..] {
                    let dims = teacher.dims(&pair.hint)?;
                    if dims != pair.to {
                        return Err(PluginError::bad_value(
                            self.plugin,
                            "hint",
                            format!("`{}` of shape {dims:?} in {}", pair.hint, teacher.name),
                            &format!("{:?} in every teacher, as in the first", pair.to),
                        ));
                    }
                }
                if self.init_epochs == 0 {
                    plan.tap_student(student, &pair.guided)?;
                    plan.tap_teachers(&pair.hint)?;
                }
                if let (true, [_, from, _, _], [_, to, _, _]) = (self.connected, &pair.from[..], &pair.to[..])
                {
                    let name = connector(self.plugin, student, place);
                    plan.add_auxiliary(&name, layers::connector(&name, &pair.from, *from, *to)?);
                }
            }
            chosen.push(pairs);
        }
        if self.init_epochs > 0 {
            let [pairs] = &chosen[..] else {
                return Err(PluginError::Students {
                    got: chosen.len(),
                    expected: format!(
                        "one for plugin `{}` with a stage of its own (`init-epochs`)",
                        self.plugin
                    ),
                });
            };
            plan.add_stage(Stage {
                name: format!("{}-init", self.plugin),
                plugin: self.plugin,
                epochs: self.init_epochs,
                learning_rate: None,
                student_values: pairs.iter().map(|pair| pair.guided.clone()).collect(),
                teacher_values: pairs.iter().map(|pair| pair.hint.clone()).collect(),
            });
        }
        Ok(PreparedPairs {
            plugin: self.plugin,
            connected: self.connected,
            alone: self.init_epochs > 0,
            chosen,
        })
    }

    fn of(&self, student: &Architecture<'_>, teacher: &Architecture<'_>) -> Result<Vec<Pair>, PluginError> {
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

    fn suggest(&self, student: &Architecture<'_>, teacher: &Architecture<'_>) -> (Vec<String>, Vec<String>) {
        match self.suggestion {
            Suggestion::Features => match (student.features(), teacher.features()) {
                (Some(guided), Some(hint)) => (vec![guided], vec![hint]),
                _ => (Vec::new(), Vec::new()),
            },
            _ => {
                let (mut guided, mut hint) = (stage_ends(student), stage_ends(teacher));
                if self.suggestion == Suggestion::BeforeActivation {
                    guided = guided.iter().map(|end| before_activation(student, end)).collect();
                    hint = hint.iter().map(|end| before_activation(teacher, end)).collect();
                }
                let shared = guided.len().min(hint.len());
                let count = match self.suggestion {
                    Suggestion::LastStage => shared.min(1),
                    _ => shared,
                };
                (
                    guided.split_off(guided.len() - count),
                    hint.split_off(hint.len() - count),
                )
            }
        }
    }
}

impl PreparedPairs {
    /// The pairs of each student.
    pub fn chosen(&self) -> &[Vec<Pair>] {
        &self.chosen
    }

    fn of(&self, student: usize) -> &[Pair] {
        self.chosen.get(student).map(Vec::as_slice).unwrap_or_default()
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
        let mut taps = Vec::new();
        for (place, pair) in self.of(student).iter().enumerate() {
            let guided = if self.connected {
                let value = step.students[student].value(&pair.guided)?.clone();
                step.auxiliary_output::<D>(&connector(self.plugin, student, place), value)?
            } else {
                step.students[student].tap::<D>(&pair.guided)?
            };
            taps.push((guided, step.teachers[teacher].tap::<D>(&pair.hint)?));
        }
        Ok(taps)
    }

    /// The teacher's values of a student's pairs.
    pub fn hints(&self, student: usize) -> Vec<String> {
        self.of(student).iter().map(|pair| pair.hint.clone()).collect()
    }

    /// A method's terms in a step: for each student whose turn it is and each teacher, what `loss` makes of the student's number and all its pairs.
    /// Several teachers share the weight. Empty in the stages that the method has no part in.
    ///
    /// # Errors
    /// As [`taps`](Self::taps), and what `loss` refuses.
    pub fn terms<const D: usize>(
        &self,
        step: &Step<'_>,
        weight: &Schedule,
        mut loss: impl FnMut(usize, &[(Tensor<D>, Tensor<D>)]) -> Result<Tensor<1>, PluginError>,
    ) -> Result<Vec<Term>, PluginError> {
        let mut terms = Vec::new();
        if step.stage.is_some() != self.alone {
            return Ok(terms);
        }
        let weight = weight.at(step.time.epoch) / step.teachers.len().max(1) as f64;
        for student in (0..step.students.len()).filter(|student| step.is_turn_of(*student)) {
            for teacher in 0..step.teachers.len() {
                terms.push(Term {
                    name: self.plugin,
                    value: loss(student, &self.taps(step, student, teacher)?)?,
                    weight,
                });
            }
        }
        Ok(terms)
    }
}

fn connector(plugin: &str, student: usize, place: usize) -> String {
    format!("{plugin}.connector{student}.{place}")
}

/// What the ReLU that made a value reads; the value itself where none did.
fn before_activation(network: &Architecture<'_>, value: &str) -> String {
    let node = network
        .graph
        .producer(value)
        .map(|node| &network.graph.nodes[node]);
    match node {
        Some(node) if node.op.name() == "Relu" => node.inputs.first().cloned().unwrap_or_default(),
        _ => value.to_owned(),
    }
}

/// The recorded pairs `student_feat` and `teacher_feat`, or `student_feat.0`, … where there are several.
///
/// # Errors
/// A record without them, or with values of another rank or batch.
pub fn recorded<const D: usize>(record: &Recorded) -> Result<Vec<(Tensor<D>, Tensor<D>)>, PluginError> {
    let pair = |ending: &str| {
        let guided = record.float::<D>(&format!("student_feat{ending}"))?;
        let name = format!("teacher_feat{ending}");
        let hint = record.float::<D>(&name)?;
        let (from, to) = (guided.dims(), hint.dims());
        if from[0] != to[0] || from.contains(&0) || to.contains(&0) {
            return Err(PluginError::RecordedShape {
                tensor: name,
                got: format!("{to:?}"),
                expected: format!(
                    "a value of as many pictures as the student's {from:?}, none of them empty"
                ),
            });
        }
        Ok((guided, hint))
    };
    if record.has("student_feat") {
        return Ok(vec![pair("")?]);
    }
    let mut pairs = vec![pair(".0")?];
    while record.has(&format!("student_feat.{}", pairs.len())) {
        pairs.push(pair(&format!(".{}", pairs.len()))?);
    }
    Ok(pairs)
}

/// Refuses a negative weight.
///
/// # Errors
/// [`PluginError::BadValue`] for `weight`.
pub fn check_weight(plugin: &str, weight: &Schedule) -> Result<(), PluginError> {
    if weight.range().0 >= 0.0 {
        return Ok(());
    }
    Err(PluginError::bad_value(
        plugin,
        "weight",
        weight,
        "values of 0 or more",
    ))
}

/// Refuses a pair that has no feature maps, or maps whose other extents differ where `same` says that they must not.
///
/// # Errors
/// [`PluginError::BadValue`] for `guided`, with both shapes.
pub fn require_maps(plugin: &str, pairs: &[Vec<Pair>], same_channels: bool) -> Result<(), PluginError> {
    for pair in pairs.iter().flatten() {
        let maps = pair.from.len() == 4 && pair.to.len() == 4;
        if maps && (!same_channels || pair.from[1] == pair.to[1]) {
            continue;
        }
        let expected = if same_channels {
            format!(
                "feature maps of the same number of channels; the hint `{}` is {:?}",
                pair.hint, pair.to
            )
        } else {
            format!(
                "two feature maps [batch, channels, height, width]; the hint `{}` is {:?}",
                pair.hint, pair.to
            )
        };
        let got = format!("`{}` of shape {:?}", pair.guided, pair.from);
        return Err(PluginError::bad_value(plugin, "guided", got, &expected));
    }
    Ok(())
}

/// The last feature map of each stage: of each extent of more than one pixel that the network's maps pass through, on the way to the logits.
pub fn stage_ends(network: &Architecture<'_>) -> Vec<String> {
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

/// Refuses pairs that are no vectors `[batch, features]`.
///
/// # Errors
/// [`PluginError::BadValue`] for `guided`, with both shapes.
pub fn require_vectors(plugin: &str, pairs: &[Vec<Pair>]) -> Result<(), PluginError> {
    for pair in pairs.iter().flatten() {
        if pair.from.len() != 2 || pair.to.len() != 2 {
            return Err(PluginError::bad_value(
                plugin,
                "guided",
                format!("`{}` of shape {:?}", pair.guided, pair.from),
                &format!(
                    "two vectors [batch, features]; the hint `{}` is {:?}",
                    pair.hint, pair.to
                ),
            ));
        }
    }
    Ok(())
}
