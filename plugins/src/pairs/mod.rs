//! Which values of student and teacher a method compares: options `guided` and `hint`, as FitNets
//! calls them, or what the networks suggest; and how it gets them.

mod loss;
mod options;
mod stages;
mod suggestion;

pub use loss::{Comparing, PairLoss};
pub(crate) use options::pair_options;
pub use options::{OneOrMany, PairOptions, check_lengths, check_pairs};
pub use suggestion::Suggestion;

use burn::tensor::Tensor;
use potstill_core::plugin::{Architecture, Plan, PluginError, Recorded, Stage, Step, Term};
use potstill_core::schedule::Schedule;

use crate::layers;

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
    /// Whether both maps of a pair must have as many channels.
    same_channels: bool,
    /// Whether the student's maps are brought to the teacher's channels by networks that train with
    /// it.
    connected: bool,
    /// Epochs of a stage before the main one, in which the method is alone; 0: it is beside the
    /// others in the main stage.
    init_epochs: usize,
}

impl Pairs {
    /// Pairs as a method's options give them; as `suggestion` says where these name none.
    pub fn new<M: PairOptions>(method: &M, suggestion: Suggestion) -> Self {
        Self {
            plugin: M::PLUGIN,
            hint: method.hint().to_vec(),
            guided: method.guided().to_vec(),
            suggestion,
            same_channels: false,
            connected: false,
            init_epochs: 0,
        }
    }

    /// Refuses maps of different numbers of channels.
    pub fn of_same_channels(mut self) -> Self {
        self.same_channels = true;
        self
    }

    /// Has the student's maps pass through connectors: a 1 × 1 convolution to the teacher's
    /// channels, and BatchNorm.
    pub fn connected(mut self) -> Self {
        self.connected = true;
        self
    }

    /// Has the method work alone, in a stage of this many epochs before the main one; 0 leaves it
    /// in the main stage.
    pub fn before_the_rest(mut self, epochs: usize) -> Self {
        self.init_epochs = epochs;
        self
    }

    /// Chooses the pairs of every student, of values of rank `D`, and asks for these values.
    ///
    /// # Errors
    /// No teacher, a value that a network does not have or that does not fit, networks without
    /// anything to compare.
    pub fn prepare<const D: usize>(&self, plan: &mut Plan<'_>) -> Result<PreparedPairs, PluginError> {
        plan.require_teacher(self.plugin)?;
        let mut of_students = Vec::new();
        for student in 0..plan.students.len() {
            let pairs = self.choose(&plan.students[student], &plan.teachers[0])?;
            for (place, pair) in pairs.iter().enumerate() {
                self.check::<D>(pair)?;
                self.check_teachers(pair, &plan.teachers[1..])?;
                if self.init_epochs == 0 {
                    plan.tap_student(student, &pair.guided)?;
                    plan.tap_teachers(&pair.hint)?;
                }
                if self.connected {
                    let name = connector(self.plugin, student, place);
                    plan.add_auxiliary(&name, layers::connector(&name, &pair.from, pair.to[1])?);
                }
            }
            of_students.push(pairs);
        }
        if self.init_epochs > 0 {
            plan.add_stage(self.own_stage(&of_students)?);
        }
        Ok(PreparedPairs {
            plugin: self.plugin,
            connected: self.connected,
            alone: self.init_epochs > 0,
            of_students,
        })
    }

    fn choose(
        &self,
        student: &Architecture<'_>,
        teacher: &Architecture<'_>,
    ) -> Result<Vec<Pair>, PluginError> {
        let (guided, hint) = if self.hint.is_empty() {
            self.suggestion.of(student, teacher)
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

    /// Refuses a pair of values of another rank than `D`, and maps whose channels differ where they
    /// must not.
    fn check<const D: usize>(&self, pair: &Pair) -> Result<(), PluginError> {
        let fits = pair.from.len() == D && pair.to.len() == D;
        if fits && (!self.same_channels || pair.from[1] == pair.to[1]) {
            return Ok(());
        }
        let kind = match (D, self.same_channels) {
            (2, _) => "two vectors [batch, features]",
            (_, true) => "feature maps of the same number of channels",
            (_, false) => "two feature maps [batch, channels, height, width]",
        };
        Err(PluginError::bad_value(
            self.plugin,
            "guided",
            format!("`{}` of shape {:?}", pair.guided, pair.from),
            &format!("{kind}; the hint `{}` is {:?}", pair.hint, pair.to),
        ))
    }

    /// Refuses a teacher whose value has another shape than the first's.
    fn check_teachers(&self, pair: &Pair, others: &[Architecture<'_>]) -> Result<(), PluginError> {
        for teacher in others {
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
        Ok(())
    }

    /// The stage in which the method is alone.
    fn own_stage(&self, of_students: &[Vec<Pair>]) -> Result<Stage, PluginError> {
        let [pairs] = of_students else {
            return Err(PluginError::Students {
                got: of_students.len(),
                expected: format!(
                    "one for plugin `{}` with a stage of its own (`init-epochs`)",
                    self.plugin
                ),
            });
        };
        Ok(Stage {
            name: format!("{}-init", self.plugin),
            plugin: self.plugin,
            epochs: self.init_epochs,
            learning_rate: None,
            student_values: pairs.iter().map(|pair| pair.guided.clone()).collect(),
            teacher_values: pairs.iter().map(|pair| pair.hint.clone()).collect(),
        })
    }
}

/// The pairs of a method in one run.
#[derive(Clone, Debug)]
pub struct PreparedPairs {
    plugin: &'static str,
    connected: bool,
    /// Whether the method is alone in a stage of its own.
    alone: bool,
    of_students: Vec<Vec<Pair>>,
}

/// A method at work that compares pairs and remembers nothing from step to step.
#[derive(Clone, Debug)]
pub struct OnPairs<M> {
    /// The method as it is configured.
    pub method: M,
    /// What it compares.
    pub pairs: PreparedPairs,
}

impl PreparedPairs {
    /// A student's pairs.
    pub fn of(&self, student: usize) -> &[Pair] {
        self.of_students
            .get(student)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// All pairs, each with the number of its student and its place among the student's.
    pub fn each(&self) -> impl Iterator<Item = (usize, usize, &Pair)> {
        self.of_students.iter().enumerate().flat_map(|(student, pairs)| {
            let placed = pairs.iter().enumerate();
            placed.map(move |(place, pair)| (student, place, pair))
        })
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

    /// A method's terms in a step: for each student whose turn it is and each teacher, what `loss`
    /// makes of the student's number and all its pairs. Several teachers share the weight. Empty in
    /// the stages that the method has no part in.
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

/// The recorded pairs `student_feat` and `teacher_feat`, or `student_feat.0`, … where there are
/// several.
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
