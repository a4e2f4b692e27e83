//! Logit standardisation. S. Sun, W. Ren, J. Li, R. Wang, X. Cao: "Logit Standardization in Knowledge Distillation", 2024 (arXiv 2403.01427),
//! equations 9 to 12.
//!
//! L = w_ce CE(z_s, y) + w(t) T² KL(softmax(Z(z_t) / T) ‖ softmax(Z(z_s) / T)) with Z(z) = (z − mean z) / std z over the classes, z: `[batch,
//! classes]`: a temperature for each picture and network, so that the student need not match the size of the teacher's logits.
//!
//! Departures: `form = code` takes the unbiased deviation plus 1e-7, as the authors' code does; the paper's formula has the biased one.

use burn::tensor::Tensor;
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{check_soft_term, check_weight};

const NAME: &str = "lskd";

/// Whose arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The paper's.
    Paper,
    /// That of the reference code.
    Code,
}

/// The method's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// T, above 0.
    pub temperature: f64,
    /// w(t).
    pub weight: Schedule,
    /// Weight of the cross-entropy, 0 or more.
    pub ce_weight: f64,
    /// Whose standard deviation.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            temperature: 2.0,
            weight: Schedule::Constant(9.0),
            ce_weight: 0.1,
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Lskd {
    config: Config,
}

impl Lskd {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// A value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        check_soft_term(NAME, config.temperature, &config.weight, 0.0)?;
        check_weight(NAME, "ce-weight", config.ce_weight)?;
        Ok(Self { config })
    }

    /// Z(z).
    fn standardised(&self, logits: Tensor<2>) -> Tensor<2> {
        let classes = logits.dims()[1];
        let centred = logits.clone() - logits.mean_dim(1);
        let sum = centred.clone().square().sum_dim(1);
        let (over, added) = match self.config.form {
            Form::Paper => (classes, 0.0),
            Form::Code => (classes.saturating_sub(1), 1e-7),
        };
        // Equal logits have no deviation, and the root no slope there.
        let deviation = (sum / over.max(1) as f64).clamp_min(1e-24).sqrt() + added;
        centred / deviation
    }

    fn term(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64, share: f64) -> Term {
        let temperature = self.config.temperature;
        let target = soft_targets(self.standardised(teacher), temperature, 0.0);
        Term {
            name: "kd",
            value: soft_target_loss(self.standardised(student), target, temperature),
            weight: self.config.weight.at(epoch) * share,
        }
    }
}

impl Plugin for Lskd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(NAME)?;
        plan.brings_task_term();
        plan.declare_term("ce", "w_ce · CE(z_s, y)");
        plan.declare_term("kd", "w(t) · T² · KL(softmax(Z(z_t)/T) ‖ softmax(Z(z_s)/T))");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        let labels = record.labels("labels", &student)?;
        let hard = Term {
            name: "ce",
            value: cross_entropy(student.clone(), labels),
            weight: self.config.ce_weight,
        };
        Ok(vec![hard, self.term(student, teacher, record.epoch(), 1.0)])
    }
}

impl Prepared for Lskd {
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
                terms.push(self.term(student.clone(), teacher.clone(), epoch, share));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "soft targets from logits of mean 0 and deviation 1",
        paper: Paper {
            title: "Logit Standardization in Knowledge Distillation",
            authors: "Sun, Ren, Li, Wang, Cao",
            year: 2024,
            arxiv: "2403.01427",
        },
        options: &[
            PluginOption { name: "temperature", doc: "T, above 0" },
            PluginOption { name: "weight", doc: "weight of the soft term, 0 or more; a number or a schedule" },
            PluginOption { name: "ce-weight", doc: "weight of the cross-entropy, 0 or more" },
            PluginOption { name: "form", doc: "paper: the biased standard deviation; code: the unbiased one plus 1e-7" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Lskd::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_terms_and_gradients_agree_with_the_reference() {
        assert_agrees("lskd", "lskd_paper_T2.safetensors", "student_logits");
        assert_agrees("lskd:form=code", "lskd_code_T2.safetensors", "student_logits");
        assert_differs("lskd", "lskd_code_T2.safetensors");
    }
}
