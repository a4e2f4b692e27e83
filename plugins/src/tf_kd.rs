//! Teacher-free distillation. L. Yuan, F. E. H. Tay, G. Li, T. Wang, J. Feng: "Revisiting Knowledge
//! Distillation via Label Smoothing Regularization", CVPR 2020 (arXiv 1909.11723), section 5: the
//! virtual teacher (Tf-KD reg). Its other half, the student taught by itself trained before, is
//! `kd` with that student's file as the teacher.
//!
//! L = (1 − α) CE(z, y) + α KL(p^d_T ‖ p_T), z: `[batch, classes]`, where the virtual teacher p^d
//! has probability a for the true class and (1 − a) / (K − 1) for each of the other K − 1, and
//! p^d_T = softmax(p^d / T).
//!
//! Departures: `form = code`, the default, takes the student's probabilities without temperature,
//! as the authors' code does, which the published numbers come from; the paper's p_T leaves a
//! gradient of the order of α / T. The paper does not say how a distribution is softened: both
//! forms do it as the code does. The code averages over batch and classes, times a multiplier; here
//! the average is over the batch, its CIFAR-100 setting (100 = K).

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use potstill_core::loss::{cross_entropy, kl_divergence_per_sample};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;

use crate::form::Form;

options! {
    /// Distillation without a teacher.
    pub struct TfKd for "tf-kd" {
        /// T
        temperature: f64 = 20.0, in above(0.0);
        /// weight of the virtual teacher's term; a number or a schedule
        alpha: Schedule = Schedule::Constant(0.1), in 0.0..=1.0;
        /// a, the virtual teacher's probability of the true class
        correct: f64 = 0.99, in above(0.0).below(1.0);
        /// code: the virtual teacher alone is softened; paper: the student as well
        form: Form = Form::Code;
    }
}

impl TfKd {
    /// log p^d_T, `[batch, classes]`.
    fn log_target(&self, labels: Tensor<1, Int>, classes: usize) -> Tensor<2> {
        let other = (1.0 - self.correct) / classes.saturating_sub(1).max(1) as f64;
        let right = labels.one_hot::<2>(classes).float();
        let teacher = right * (self.correct - other) + other;
        log_softmax(teacher / self.temperature, 1)
    }

    fn terms(&self, logits: Tensor<2>, labels: Tensor<1, Int>, epoch: f64) -> [Term; 2] {
        let alpha = self.alpha.at(epoch);
        let temperature = match self.form {
            Form::Paper => self.temperature,
            Form::Code => 1.0,
        };
        let target = self.log_target(labels.clone(), logits.dims()[1]);
        let predicted = log_softmax(logits.clone() / temperature, 1);
        [
            Term {
                name: "ce",
                value: cross_entropy(logits, labels),
                weight: 1.0 - alpha,
            },
            Term {
                name: Self::PLUGIN,
                value: kl_divergence_per_sample(target, predicted).mean(),
                weight: alpha,
            },
        ]
    }
}

impl Plugin for TfKd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.brings_task_term();
        plan.declare_term("ce", "(1 − α) · CE(z, y)");
        plan.declare_term(Self::PLUGIN, "α · KL(softmax(p^d/T) ‖ student)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let logits = record.float("student_logits")?;
        let labels = record.labels("labels", &logits)?;
        Ok(self.terms(logits, labels, record.epoch()).into())
    }
}

impl Prepared for TfKd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut terms = Vec::new();
        for (member, student) in step.students.iter().enumerate() {
            if step.is_turn_of(member) {
                terms.extend(self.terms(student.logits()?, step.labels.clone(), step.time.epoch));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<TfKd>(
        "a virtual teacher that is nearly always right, instead of a network",
        Paper {
            title: "Revisiting Knowledge Distillation via Label Smoothing Regularization",
            authors: "Yuan, Tay, Li, Wang, Feng",
            year: 2020,
            arxiv: "1909.11723",
        },
    )
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::records::assert_slopes;

    /// `cross_entropy`, and `kl_div` summed and divided by the batch, of PyTorch 2.15 in double
    /// precision for the logits below.
    const CE: f64 = 1.630892773;
    const CODE: f64 = 0.732395182;
    const PAPER: f64 = 0.196021974;

    #[test]
    fn both_forms_have_pytorchs_values() {
        let device = Device::flex();
        for (form, expected) in [(Form::Code, CODE), (Form::Paper, PAPER)] {
            let method = TfKd {
                correct: 0.9,
                temperature: 2.0,
                form,
                ..TfKd::default()
            };
            let logits = Tensor::<2>::from_data([[1.5, -0.5, 0.25, 2.0], [-1.0, 3.0, 0.5, 0.0]], &device);
            let labels = Tensor::<1, Int>::from_data([3, 2], &device);
            let terms = method.terms(logits, labels, 0.0);
            for (term, expected) in terms.iter().zip([CE, expected]) {
                let value = f64::from(term.value.clone().into_scalar::<f32>());
                assert!(
                    (value - expected).abs() < 1e-6 * expected,
                    "{form:?} {}: {value}",
                    term.name
                );
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for form in ["code", "paper"] {
            assert_slopes::<2>(
                &format!("tf-kd:alpha=0.9,form={form}"),
                "kd_T2_a0p9.safetensors",
                "student_logits",
            );
        }
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for (option, value) in [("alpha", "1.5"), ("correct", "1"), ("temperature", "0")] {
            let spec: potstill_core::plugin::PluginSpec = format!("tf-kd:{option}={value}").parse().unwrap();
            let refusal = spec
                .build()
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(refusal.contains(option), "{option}={value}: {refusal}");
        }
    }
}
