//! DIST. T. Huang, S. You, F. Wang, C. Qian, C. Xu: "Knowledge Distillation from a Stronger
//! Teacher", 2022 (arXiv 2205.10536), equations 6 to 10.
//!
//! With Y = softmax(z / τ) `[batch, classes]` and ρ Pearson's correlation: L = CE(z_s, y) + β τ²
//! mean_i (1 − ρ(Y_s[i, :], Y_t[i, :])) + γ τ² mean_c (1 − ρ(Y_s[:, c], Y_t[:, c])). The first
//! keeps the order of the classes for each picture, the second the order of the pictures for each
//! class; neither asks for the probabilities themselves.
//!
//! The factor τ² and the 1e-8 that is added to the product of norms are those of the authors' code.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use potstill_core::loss::cross_entropy;
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;

/// Added to the product of norms by the reference code.
const EPSILON: f64 = 1e-8;

/// Pearson's correlation of each row of `a` with the same row of `b`, `[rows, 1]`.
fn correlation(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let centred = |rows: Tensor<2>| rows.clone() - rows.mean_dim(1);
    let (a, b) = (centred(a), centred(b));
    let norm = |rows: &Tensor<2>| rows.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
    let norms = norm(&a) * norm(&b);
    (a * b).sum_dim(1) / (norms + EPSILON)
}

options! {
    /// DIST.
    pub struct Dist for "dist" {
        /// τ
        tau: f64 = 1.0, in above(0.0);
        /// weight of the correlation over classes; a number or a schedule
        beta: Schedule = Schedule::Constant(1.0), in 0.0..;
        /// weight of the correlation over pictures; a number or a schedule
        gamma: Schedule = Schedule::Constant(1.0), in 0.0..;
        /// weight of the cross-entropy
        ce_weight: f64 = 1.0, in 0.0..;
    }
}

impl Dist {
    fn terms(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64, share: f64) -> Vec<Term> {
        let tau = self.tau;
        let (student, teacher) = (softmax(student / tau, 1), softmax(teacher / tau, 1));
        let distance = |a, b| (-correlation(a, b) + 1.0).mean() * (tau * tau);
        vec![
            Term {
                name: "inter",
                value: distance(student.clone(), teacher.clone()),
                weight: self.beta.at(epoch) * share,
            },
            Term {
                name: "intra",
                value: distance(student.transpose(), teacher.transpose()),
                weight: self.gamma.at(epoch) * share,
            },
        ]
    }
}

impl Plugin for Dist {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        plan.brings_task_term();
        plan.declare_term("ce", "CE(z_s, y)");
        plan.declare_term("inter", "β · τ² · mean (1 − ρ over classes)");
        plan.declare_term("intra", "γ · τ² · mean (1 − ρ over pictures)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        Ok(self.terms(student, teacher, record.epoch(), 1.0))
    }
}

impl Prepared for Dist {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let teachers = step.teacher_logits()?;
        let share = 1.0 / teachers.len().max(1) as f64;
        let epoch = step.time.epoch;
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
                terms.extend(self.terms(student.clone(), teacher.clone(), epoch, share));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<Dist>(
        "correlations over classes and over pictures, for teachers much stronger than the student",
        Paper {
            title: "Knowledge Distillation from a Stronger Teacher",
            authors: "Huang, You, Wang, Qian, Xu",
            year: 2022,
            arxiv: "2205.10536",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_terms_and_gradients_agree_with_the_reference() {
        assert_agrees("dist", "dist_b1_g1_tau1.safetensors", "student_logits");
        let other = "dist:beta=2,gamma=2,tau=4";
        assert_agrees(other, "dist_b2_g2_tau4.safetensors", "student_logits");
        assert_differs("dist", "dist_b2_g2_tau4.safetensors");
    }
}
