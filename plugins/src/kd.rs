//! Knowledge distillation with soft targets. G. Hinton, O. Vinyals, J. Dean: "Distilling the
//! Knowledge in a Neural Network", 2015 (arXiv 1503.02531), section 2.
//!
//! L = (1 − α) · CE(z_s, y) + α · T² · KL(p_t^T ‖ p_s^T), with p^T = softmax(z / T), z:
//! `[batch, classes]`, both averaged over the batch.
//!
//! With `teacher-weights = "confidence"` each sample has weights of its own, w_k = (1 −
//! softmax_k(CE(z_k, y))) / (K − 1) over the K teachers' losses on the true class: a teacher counts
//! as much as it is right. H. Zhang, D. Chen, C. Wang: "Confidence-Aware Multi-Teacher Knowledge
//! Distillation", ICASSP 2022 (arXiv 2201.00007), equation 3.
//!
//! Departures: the paper writes the soft term as a cross-entropy; KL differs by the teacher's
//! entropy, which has no gradient. Several teachers are one whose probabilities p_t^T are the
//! weighted mean of theirs; the confidence paper weights their losses instead, which has the same
//! gradient.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};
use potstill_core::loss::{cross_entropy, soft_target_loss_per_sample};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};

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

options! {
    /// Knowledge distillation with soft targets.
    pub struct Kd for "kd", check Kd::check_weights {
        /// T; 1, 2, 5 and 10 are the usual candidates
        temperature: f64 = 2.0, in above(0.0);
        /// weight of the soft term; the hard term gets the rest; a number or a schedule
        alpha: Schedule = Schedule::Constant(0.9), in 0.0..=1.0;
        /// keep, or skip: no soft term on samples that the teacher gets wrong
        teacher_errors: TeacherErrors = TeacherErrors::Keep;
        /// one weight per teacher, all alike when empty; or confidence: for each sample by the
        /// teachers' losses on its class
        teacher_weights: TeacherWeights = TeacherWeights::Fixed(Vec::new());
    }
}

impl Kd {
    /// Refuses teachers' weights that are negative, or all 0.
    fn check_weights(&self) -> Result<(), PluginError> {
        let TeacherWeights::Fixed(weights) = &self.teacher_weights else {
            return Ok(());
        };
        let usable = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        if weights.is_empty() || usable && weights.iter().sum::<f64>() > 0.0 {
            return Ok(());
        }
        Err(PluginError::bad_value(
            Self::PLUGIN,
            "teacher-weights",
            format!("{weights:?}"),
            "numbers of 0 or more, one above 0",
        ))
    }

    /// log p_t^T of the weighted mean of the teachers' probabilities, `[batch, classes]`.
    fn log_target(&self, teachers: &[Tensor<2>], labels: &Tensor<1, Int>) -> Option<Tensor<2>> {
        let temperature = self.temperature;
        if let [only] = teachers {
            return Some(log_softmax(only.clone() / temperature, 1));
        }
        let probabilities = teachers
            .iter()
            .map(|logits| softmax(logits.clone() / temperature, 1));
        let weighted: Vec<Tensor<2>> = match &self.teacher_weights {
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
            // Below the smallest normal number the logarithm's product with the probability is 0
            // anyway.
            .map(|mean| mean.clamp_min(f32::MIN_POSITIVE).log())
    }

    fn terms(
        &self,
        student: Tensor<2>,
        teachers: &[Tensor<2>],
        labels: Tensor<1, Int>,
        epoch: f64,
    ) -> Vec<Term> {
        let alpha = self.alpha.at(epoch);
        let hard = Term {
            name: "ce",
            value: cross_entropy(student.clone(), labels.clone()),
            weight: 1.0 - alpha,
        };
        let Some(log_target) = self.log_target(teachers, &labels) else {
            return vec![hard];
        };
        let per_sample = soft_target_loss_per_sample(student, log_target.clone(), self.temperature);
        let per_sample = match self.teacher_errors {
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
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        let weights = match &self.teacher_weights {
            TeacherWeights::Fixed(weights) => weights.len(),
            TeacherWeights::PerSample(_) => 0,
        };
        if weights != 0 && weights != plan.teachers.len() {
            return Err(PluginError::Count {
                plugin: Self::PLUGIN.to_owned(),
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
    PluginEntry::new::<Kd>(
        "soft targets: the teacher's probabilities at a raised temperature",
        Paper {
            title: "Distilling the Knowledge in a Neural Network",
            authors: "Hinton, Vinyals, Dean",
            year: 2015,
            arxiv: "1503.02531",
        },
    )
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
        let plugin = Kd {
            temperature: 4.0,
            ..Kd::default()
        };
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
            let kd = Kd {
                teacher_errors,
                ..Kd::default()
            };
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
        let kd = Kd::default();
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
            let kd = Kd {
                teacher_weights,
                ..Kd::default()
            };
            let target = kd.log_target(std::slice::from_ref(&teacher), &labels);
            target.unwrap().into_data().iter::<f32>().collect::<Vec<_>>()
        };
        let by_confidence = TeacherWeights::PerSample(PerSample::Confidence);
        assert_eq!(target(TeacherWeights::Fixed(Vec::new())), target(by_confidence));
    }
}
