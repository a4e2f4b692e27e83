//! DIST. T. Huang, S. You, F. Wang, C. Qian, C. Xu: "Knowledge Distillation from a Stronger Teacher", 2022 (arXiv 2205.10536), equations 6 to 10.
//!
//! With Y = softmax(z / τ) `[batch, classes]` and ρ Pearson's correlation: L = CE(z_s, y) + β τ² mean_i (1 − ρ(Y_s[i, :], Y_t[i, :])) + γ τ² mean_c
//! (1 − ρ(Y_s[:, c], Y_t[:, c])). The first keeps the order of the classes for each picture, the second the order of the pictures for each class;
//! neither asks for the probabilities themselves.
//!
//! The factor τ² and the 1e-8 that is added to the product of norms are those of the authors' code.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use potstill_core::loss::cross_entropy;
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::check_weight;

const NAME: &str = "dist";
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

/// The method's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// τ, above 0.
    pub tau: f64,
    /// β, weight of the correlation over classes.
    pub beta: Schedule,
    /// γ, weight of the correlation over pictures.
    pub gamma: Schedule,
    /// Weight of the cross-entropy, 0 or more.
    pub ce_weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tau: 1.0,
            beta: Schedule::Constant(1.0),
            gamma: Schedule::Constant(1.0),
            ce_weight: 1.0,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Dist {
    config: Config,
}

impl Dist {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        if !(config.tau.is_finite() && config.tau > 0.0) {
            return Err(PluginError::bad_value(
                NAME,
                "tau",
                config.tau,
                "a number above 0",
            ));
        }
        for (option, weight) in [
            ("beta", config.beta.range().0),
            ("gamma", config.gamma.range().0),
            ("ce-weight", config.ce_weight),
        ] {
            check_weight(NAME, option, weight)?;
        }
        Ok(Self { config })
    }

    fn terms(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64, share: f64) -> Vec<Term> {
        let tau = self.config.tau;
        let (student, teacher) = (softmax(student / tau, 1), softmax(teacher / tau, 1));
        let distance = |a, b| (-correlation(a, b) + 1.0).mean() * (tau * tau);
        vec![
            Term {
                name: "inter",
                value: distance(student.clone(), teacher.clone()),
                weight: self.config.beta.at(epoch) * share,
            },
            Term {
                name: "intra",
                value: distance(student.transpose(), teacher.transpose()),
                weight: self.config.gamma.at(epoch) * share,
            },
        ]
    }
}

impl Plugin for Dist {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(NAME)?;
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
                weight: self.config.ce_weight,
            });
            for teacher in &teachers {
                terms.extend(self.terms(student.clone(), teacher.clone(), epoch, share));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "correlations over classes and over pictures, for teachers much stronger than the student",
        paper: Paper {
            title: "Knowledge Distillation from a Stronger Teacher",
            authors: "Huang, You, Wang, Qian, Xu",
            year: 2022,
            arxiv: "2205.10536",
        },
        options: &[
            PluginOption { name: "tau", doc: "τ, above 0" },
            PluginOption { name: "beta", doc: "weight of the correlation over classes, 0 or more; a number or a schedule" },
            PluginOption { name: "gamma", doc: "weight of the correlation over pictures, 0 or more; a number or a schedule" },
            PluginOption { name: "ce-weight", doc: "weight of the cross-entropy, 0 or more" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Dist::new(parse_options(NAME, options)?)?)),
    }
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
