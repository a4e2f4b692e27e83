//! Knowledge distillation with soft targets. G. Hinton, O. Vinyals, J. Dean: "Distilling the Knowledge in a Neural Network", 2015
//! (arXiv 1503.02531), section 2.
//!
//! L = (1 − α) · CE(z_s, y) + α · T² · KL(p_t^T ‖ p_s^T), with p^T = softmax(z / T), z: `[batch, classes]`, both averaged over the batch.
//!
//! With `teacher-weights = "confidence"` each sample has weights of its own, w_k = (1 − softmax_k(CE(z_k, y))) / (K − 1) over the K teachers' losses on the true class: a
//! teacher counts as much as it is right. H. Zhang, D. Chen, C. Wang: "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022
//! (arXiv 2201.00007), equation 3.
//!
//! Departures: the paper writes the soft term as a cross-entropy; KL differs by the teacher's entropy, which has no gradient. Several
//! teachers are one whose probabilities p_t^T are the weighted mean of theirs; the confidence paper weights their losses instead, which has the same gradient.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};
use potstill_core::loss::{cross_entropy, soft_target_loss_per_sample};
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

const NAME: &str = "kd";

/// What to do with samples that the teacher gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherErrors {
    /// Learn the teacher's probabilities all the same, as the paper does.
    Keep,
    /// No soft term on them.
    Skip,
}

/// How much each of several teachers counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TeacherWeights {
    /// One weight per teacher, normalised to sum 1; empty: all alike.
    Fixed(Vec<f64>),
    /// By what is known of each sample.
    PerSample(PerSample),
}

/// How much each of several teachers counts for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerSample {
    /// The more, the smaller its loss on the true class.
    Confidence,
}

/// The method's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// T, above 0.
    pub temperature: f64,
    /// α, from 0 to 1.
    pub alpha: Schedule,
    /// What to do with samples that the teacher gets wrong.
    pub teacher_errors: TeacherErrors,
    /// How much each of several teachers counts.
    pub teacher_weights: TeacherWeights,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            temperature: 2.0,
            alpha: Schedule::Constant(0.9),
            teacher_errors: TeacherErrors::Keep,
            teacher_weights: TeacherWeights::Fixed(Vec::new()),
        }
    }
}

/// Knowledge distillation with a checked configuration.
#[derive(Clone, Debug)]
pub struct Kd {
    config: Config,
}

impl Kd {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// A temperature of 0 or less, α outside 0 to 1, a negative teacher's weight.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        let bad =
            |option: &str, got: String, expected: &str| PluginError::bad_value(NAME, option, got, expected);
        if !(config.temperature.is_finite() && config.temperature > 0.0) {
            return Err(bad(
                "temperature",
                config.temperature.to_string(),
                "a number above 0",
            ));
        }
        let (low, high) = config.alpha.range();
        if !(low >= 0.0 && high <= 1.0) {
            return Err(bad("alpha", config.alpha.to_string(), "values from 0 to 1"));
        }
        let weights = match &config.teacher_weights {
            TeacherWeights::Fixed(weights) => &weights[..],
            TeacherWeights::PerSample(_) => &[],
        };
        let usable = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        let alike = weights.is_empty();
        if !(alike || usable && weights.iter().sum::<f64>() > 0.0) {
            return Err(bad(
                "teacher-weights",
                format!("{weights:?}"),
                "numbers of 0 or more, one above 0",
            ));
        }
        Ok(Self { config })
    }

    /// log p_t^T of the weighted mean of the teachers' probabilities, `[batch, classes]`.
    fn log_target(&self, teachers: &[Tensor<2>], labels: &Tensor<1, Int>) -> Option<Tensor<2>> {
        let temperature = self.config.temperature;
        if let [only] = teachers {
            return Some(log_softmax(only.clone() / temperature, 1));
        }
        let probabilities = teachers
            .iter()
            .map(|logits| softmax(logits.clone() / temperature, 1));
        let weighted: Vec<Tensor<2>> = match &self.config.teacher_weights {
            TeacherWeights::Fixed(weights) => {
                let weight = |index: usize| weights.get(index).copied().unwrap_or(1.0);
                let total: f64 = (0..teachers.len()).map(weight).sum();
                let weighted = probabilities
                    .enumerate()
                    .map(|(index, p)| p * (weight(index) / total));
                weighted.collect()
            }
            TeacherWeights::PerSample(PerSample::Confidence) => {
                let weights = confidence(teachers, labels);
                let weighted = probabilities
                    .enumerate()
                    .map(|(index, p)| p * weights.clone().narrow(1, index, 1));
                weighted.collect()
            }
        };
        weighted
            .into_iter()
            .reduce(|sum, next| sum + next)
            // Below the smallest normal number the logarithm's product with the probability is 0 anyway.
            .map(|mean| mean.clamp_min(f32::MIN_POSITIVE).log())
    }

    fn terms(
        &self,
        student: Tensor<2>,
        teachers: &[Tensor<2>],
        labels: Tensor<1, Int>,
        epoch: f64,
    ) -> Vec<Term> {
        let alpha = self.config.alpha.at(epoch);
        let hard = Term {
            name: "ce",
            value: cross_entropy(student.clone(), labels.clone()),
            weight: 1.0 - alpha,
        };
        let Some(log_target) = self.log_target(teachers, &labels) else {
            return vec![hard];
        };
        let per_sample = soft_target_loss_per_sample(student, log_target.clone(), self.config.temperature);
        let per_sample = match self.config.teacher_errors {
            TeacherErrors::Keep => per_sample,
            TeacherErrors::Skip => {
                let right = log_target.argmax(1).squeeze_dim::<1>(1).equal(labels);
                per_sample * right.float()
            }
        };
        vec![
            hard,
            Term {
                name: "kd",
                value: per_sample.mean(),
                weight: alpha,
            },
        ]
    }
}

/// Each teacher's weight for each sample, `[batch, teachers]`; rows sum to 1.
fn confidence(teachers: &[Tensor<2>], labels: &Tensor<1, Int>) -> Tensor<2> {
    let losses = teachers.iter().map(|logits| {
        log_softmax(logits.clone(), 1)
            .gather(1, labels.clone().unsqueeze_dim(1))
            .neg()
    });
    let shares = softmax(Tensor::cat(losses.collect(), 1), 1);
    (shares.neg() + 1.0) / (teachers.len() as f64 - 1.0)
}

impl Plugin for Kd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(NAME)?;
        let weights = match &self.config.teacher_weights {
            TeacherWeights::Fixed(weights) => weights.len(),
            TeacherWeights::PerSample(_) => 0,
        };
        if weights != 0 && weights != plan.teachers.len() {
            return Err(PluginError::Count {
                plugin: NAME.to_owned(),
                what: "teacher-weights".to_owned(),
                got: weights,
                expected: format!("one for each of {} teachers", plan.teachers.len()),
            });
        }
        plan.brings_task_term();
        plan.declare_term("ce", "(1 − α) · CE(z_s, y)");
        plan.declare_term("kd", "α · T² · KL(p_t^T ‖ p_s^T)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        let labels = record.labels("labels", &student)?;
        Ok(self.terms(student, &[teacher], labels, 0.0))
    }
}

impl Prepared for Kd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let teachers = step.teacher_logits()?;
        let mut terms = Vec::new();
        for (member, student) in step.students.iter().enumerate() {
            if step.is_turn_of(member) {
                let labels = step.labels.clone();
                terms.extend(self.terms(student.logits()?, &teachers, labels, step.time.epoch));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "soft targets: the teacher's probabilities at a raised temperature",
        paper: Paper {
            title: "Distilling the Knowledge in a Neural Network",
            authors: "Hinton, Vinyals, Dean",
            year: 2015,
            arxiv: "1503.02531",
        },
        options: &[
            PluginOption { name: "temperature", doc: "T, above 0; 1, 2, 5 and 10 are the usual candidates" },
            PluginOption { name: "alpha", doc: "weight of the soft term, 0 to 1; the hard term gets the rest; a number or a schedule" },
            PluginOption { name: "teacher-errors", doc: "keep, or skip: no soft term on samples that the teacher gets wrong" },
            PluginOption { name: "teacher-weights", doc: "one weight per teacher, all alike when empty; or confidence: for each sample by the teachers' losses on its class" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Kd::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::golden;
    use burn::tensor::Device;
    use potstill_core::plugin::{Recorded, Tolerance, check};

    #[test]
    fn loss_terms_and_gradients_agree_with_the_reference_at_every_temperature_and_alpha() {
        for temperature in [1, 2, 5, 10] {
            for (alpha, text) in [(0.5, "0p5"), (0.9, "0p9")] {
                let path = golden(&format!("kd_T{temperature}_a{text}.safetensors"));
                let spec = format!("kd:temperature={temperature},alpha={alpha}");
                let plugin = spec
                    .parse::<potstill_core::plugin::PluginSpec>()
                    .unwrap()
                    .build()
                    .unwrap();
                let record = Recorded::open(&path).unwrap();
                let report = check(plugin.as_ref(), &record, Tolerance::default()).unwrap();
                assert!(report.agrees(), "{spec}: {report:#?}");
                assert!(report.comparisons.iter().any(|c| c.name == "grad.student_logits"));
            }
        }
    }

    #[test]
    fn a_wrong_temperature_does_not_agree_with_the_record() {
        let path = golden("kd_T5_a0p9.safetensors");
        let plugin = Kd::new(Config {
            temperature: 4.0,
            ..Config::default()
        })
        .unwrap();
        let report = check(&plugin, &Recorded::open(&path).unwrap(), Tolerance::default()).unwrap();
        assert!(!report.agrees());
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_nearest() {
        let spec: potstill_core::plugin::PluginSpec = "kd:temprature=4".parse().unwrap();
        let error = spec.build().unwrap_err().to_string();
        assert!(error.contains("did you mean `temperature`"), "{error}");
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for options in [
            "temperature=0",
            "temperature=hot",
            "alpha=1.5",
            "teacher-errors=maybe",
            "teacher-weights=[-1]",
        ] {
            let spec: potstill_core::plugin::PluginSpec = format!("kd:{options}").parse().unwrap();
            assert!(spec.build().is_err(), "{options}");
        }
    }

    #[test]
    fn skipping_the_teachers_errors_leaves_only_what_it_got_right() {
        let device = Device::flex();
        let teacher = Tensor::<2>::from_data([[5.0, 0.0], [5.0, 0.0]], &device);
        let student = Tensor::<2>::from_data([[0.0, 0.0], [0.0, 0.0]], &device);
        let labels = Tensor::<1, Int>::from_data([0, 1], &device);
        let soft = |teacher_errors| {
            let kd = Kd::new(Config {
                teacher_errors,
                ..Config::default()
            })
            .unwrap();
            let terms = kd.terms(
                student.clone(),
                std::slice::from_ref(&teacher),
                labels.clone(),
                0.0,
            );
            terms[1].value.clone().into_scalar::<f32>()
        };
        let (all, right) = (soft(TeacherErrors::Keep), soft(TeacherErrors::Skip));
        assert!((all - 2.0 * right).abs() < 1e-6, "{all} {right}");
    }

    #[test]
    fn two_equal_teachers_teach_as_one() {
        let device = Device::flex();
        let teacher = Tensor::<2>::from_data([[2.0, 1.0, -1.0]], &device);
        let student = Tensor::<2>::from_data([[0.0, 0.5, 0.1]], &device);
        let labels = Tensor::<1, Int>::from_data([0], &device);
        let kd = Kd::new(Config::default()).unwrap();
        let soft = |teachers: &[Tensor<2>]| {
            kd.terms(student.clone(), teachers, labels.clone(), 0.0)[1]
                .value
                .clone()
                .into_scalar::<f32>()
        };
        let (one, two) = (
            soft(std::slice::from_ref(&teacher)),
            soft(&[teacher.clone(), teacher.clone()]),
        );
        assert!((one - two).abs() < 1e-6, "{one} {two}");
    }

    #[test]
    fn a_teacher_that_is_right_counts_more_for_that_sample() {
        let device = Device::flex();
        let first = Tensor::<2>::from_data([[2.0, 0.0], [2.0, 0.0]], &device);
        let second = Tensor::<2>::from_data([[0.0, 1.0], [0.0, 1.0]], &device);
        let labels = Tensor::<1, Int>::from_data([0, 1], &device);
        let weights = confidence(&[first.clone(), second.clone()], &labels);
        // numpy: losses [[0.126928, 1.313262], [2.126928, 0.313262]], 1 − softmax of each row
        let got: Vec<f32> = weights.into_data().iter().collect();
        for (got, expected) in got
            .iter()
            .zip([0.766_084_7, 0.233_915_3, 0.140_195_6, 0.859_804_4])
        {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
        let plugin: potstill_core::plugin::PluginSpec = "kd:teacher-weights=confidence".parse().unwrap();
        assert!(plugin.build().is_ok());
        let unknown: potstill_core::plugin::PluginSpec = "kd:teacher-weights=luck".parse().unwrap();
        assert!(unknown.build().is_err());
    }

    #[test]
    fn one_teacher_counts_alone_whatever_its_confidence() {
        let device = Device::flex();
        let teacher = Tensor::<2>::from_data([[2.0, 0.5], [0.3, 0.0]], &device);
        let labels = Tensor::<1, Int>::from_data([0, 1], &device);
        let target = |teacher_weights| {
            let kd = Kd::new(Config {
                teacher_weights,
                ..Config::default()
            });
            let target = kd.unwrap().log_target(std::slice::from_ref(&teacher), &labels);
            target.unwrap().into_data().iter::<f32>().collect::<Vec<_>>()
        };
        let by_confidence = TeacherWeights::PerSample(PerSample::Confidence);
        assert_eq!(target(TeacherWeights::Fixed(Vec::new())), target(by_confidence));
    }
}
