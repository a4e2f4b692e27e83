//! Decoupled knowledge distillation. B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang: "Decoupled
//! Knowledge Distillation", 2022 (arXiv 2203.08679), equation 7.
//!
//! With b = [p_y, 1 − p_y] the probability of the true class against all others, and p̂ the softmax
//! over the other classes alone, all at temperature T: L = CE(z_s, y) + w(t) T² (α KL(b_t ‖ b_s) +
//! β KL(p̂_t ‖ p̂_s)), z: `[batch, classes]`, averaged over the batch.
//!
//! w(t) rises over the first epochs in the authors' code (20 of 240):
//! `weight = "linear(0, 1, 20)"`. The reference code takes the true class out by subtracting 1000
//! from its logit, as here.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use potstill_core::loss::{cross_entropy, kl_divergence_per_sample};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;

/// Subtracted from the true class's logit, it leaves nothing of its probability.
const OUT: f64 = 1000.0;

/// log Σ_c exp(z_c), `[batch, 1]`.
fn log_sum_exp(logits: Tensor<2>) -> Tensor<2> {
    let largest = logits.clone().detach().max_dim(1);
    (logits - largest.clone()).exp().sum_dim(1).log() + largest
}

options! {
    /// Decoupled knowledge distillation.
    pub struct Dkd for "dkd" {
        /// T
        temperature: f64 = 4.0, in above(0.0);
        /// weight of the true class against all others
        alpha: f64 = 1.0, in 0.0..;
        /// weight of the other classes among themselves
        beta: f64 = 8.0, in 0.0..;
        /// factor of both, a number or a schedule; the authors raise it over the first epochs
        weight: Schedule = Schedule::Constant(1.0), in 0.0..;
        /// weight of the cross-entropy
        ce_weight: f64 = 1.0, in 0.0..;
    }
}

impl Dkd {
    fn terms(
        &self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        labels: &Tensor<1, Int>,
        weight: f64,
    ) -> Vec<Term> {
        let temperature = self.temperature;
        let classes = student.dims()[1];
        let target = labels.clone().one_hot::<2>(classes).float();
        let split = |logits: Tensor<2>| {
            let softened = logits / temperature;
            let log_p = log_softmax(softened.clone(), 1);
            let log_target = (log_p * target.clone()).sum_dim(1);
            let others = softened.clone() - target.clone() * OUT;
            // log(1 − p_y), from sums that lose nothing where p_y is near 1.
            let log_others = log_sum_exp(others.clone()) - log_sum_exp(softened);
            (
                Tensor::cat(vec![log_target, log_others], 1),
                log_softmax(others, 1),
            )
        };
        let (student_binary, student_others) = split(student);
        let (teacher_binary, teacher_others) = split(teacher);
        let scale = temperature * temperature;
        let kl = |target, predicted| kl_divergence_per_sample(target, predicted).mean() * scale;
        vec![
            Term {
                name: "tckd",
                value: kl(teacher_binary, student_binary),
                weight: weight * self.alpha,
            },
            Term {
                name: "nckd",
                value: kl(teacher_others, student_others),
                weight: weight * self.beta,
            },
        ]
    }
}

impl Plugin for Dkd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        plan.brings_task_term();
        plan.declare_term("ce", "CE(z_s, y)");
        plan.declare_term("tckd", "w(t) · α · T² · KL(b_t ‖ b_s)");
        plan.declare_term("nckd", "w(t) · β · T² · KL(p̂_t ‖ p̂_s)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        let labels = record.labels("labels", &student)?;
        let mut terms = vec![Term {
            name: "ce",
            value: cross_entropy(student.clone(), labels.clone()),
            weight: self.ce_weight,
        }];
        terms.extend(self.terms(student, teacher, &labels, self.weight.at(record.epoch())));
        Ok(terms)
    }
}

impl Prepared for Dkd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let teachers = step.teacher_logits()?;
        let weight = self.weight.at(step.time.epoch) / teachers.len().max(1) as f64;
        let mut terms = Vec::new();
        for (member, student) in step.students.iter().enumerate() {
            if !step.is_turn_of(member) {
                continue;
            }
            let student = student.logits()?;
            terms.push(Term {
                name: "ce",
                value: cross_entropy(student.clone(), step.labels.clone()),
                weight: self.ce_weight,
            });
            for teacher in &teachers {
                terms.extend(self.terms(student.clone(), teacher.clone(), &step.labels, weight));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<Dkd>(
        "the true class against the others, and the others among themselves, weighted apart",
        Paper {
            title: "Decoupled Knowledge Distillation",
            authors: "Zhao, Cui, Song, Qiu, Liang",
            year: 2022,
            arxiv: "2203.08679",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_terms_and_gradients_agree_with_the_reference() {
        assert_agrees("dkd:ce-weight=0", "dkd_T4.safetensors", "student_logits");
        assert_differs("dkd:ce-weight=0,beta=7", "dkd_T4.safetensors");
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for options in [
            "temperature=0",
            "alpha=-1",
            "beta=-1",
            "ce-weight=-1",
            "weight=-1",
        ] {
            let spec: potstill_core::plugin::PluginSpec = format!("dkd:{options}").parse().unwrap();
            assert!(spec.build().is_err(), "{options}");
        }
    }
}
