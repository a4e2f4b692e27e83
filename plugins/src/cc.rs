//! Correlation congruence. B. Peng, X. Jin, J. Liu, S. Zhou, Y. Wu, Y. Liu, D. Li, Z. Zhang: "Correlation Congruence for Knowledge Distillation",
//! 2019 (arXiv 1904.01802), equations 6 to 9.
//!
//! C `[batch, batch]` holds a Gaussian kernel between the features f of each two pictures, by its Taylor series of order P on features of norm 1:
//! C_ij = Σ_p exp(−2γ) (2γ)^p / p! (f_i · f_j)^p. L = 1/B² ‖C_t − C_s‖²_F.
//!
//! Departures: `form = code` is RepDistiller's loss, which is another one: features are embedded by a linear layer on each side, which trains, and
//! the absolute differences between student and teacher of neighbouring pictures of the batch are multiplied: 1/(B − 1) Σ_i Σ_d |d_i| |d_{i+1}|.

use burn::tensor::Tensor;
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::layers::{self, linear};
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "cc";

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
    /// Values of the teacher.
    #[serde(deserialize_with = "pairs::one_or_many")]
    pub hint: Vec<String>,
    /// Values of the student, one for each hint.
    #[serde(deserialize_with = "pairs::one_or_many")]
    pub guided: Vec<String>,
    /// β.
    pub weight: Schedule,
    /// γ of the kernel, above 0.
    pub gamma: f64,
    /// P, the order of the series.
    pub order: u32,
    /// Features of the embeddings of `form = code`.
    pub embedding: usize,
    /// Whose loss.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(0.02),
            gamma: 0.4,
            order: 2,
            embedding: 128,
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Cc {
    config: Config,
    pairs: Pairs,
}

impl Cc {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        if !(config.gamma.is_finite() && config.gamma > 0.0) {
            return Err(PluginError::bad_value(
                NAME,
                "gamma",
                config.gamma,
                "a number above 0",
            ));
        }
        if config.embedding == 0 {
            return Err(PluginError::bad_value(NAME, "embedding", 0, "1 or more"));
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Features)?;
        Ok(Self { config, pairs })
    }

    /// C, `[batch, batch]`.
    fn kernel(&self, features: &Tensor<2>) -> Tensor<2> {
        let rows = features::unit_rows(features.clone());
        let cosines = rows.clone().matmul(rows.transpose());
        let gamma = self.config.gamma;
        let mut factor = (-2.0 * gamma).exp();
        let mut power = cosines.ones_like();
        let mut sum = power.clone() * factor;
        for order in 1..=self.config.order {
            factor *= 2.0 * gamma / f64::from(order);
            power = power * cosines.clone();
            sum = sum + power.clone() * factor;
        }
        sum
    }

    fn congruence(&self, guided: &Tensor<2>, hint: &Tensor<2>) -> Tensor<1> {
        (self.kernel(hint) - self.kernel(guided)).square().mean()
    }
}

impl Plugin for Cc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_vectors(NAME, pairs.chosen())?;
        if self.config.form == Form::Code {
            for (student, pairs) in pairs.chosen().iter().enumerate() {
                for (place, pair) in pairs.iter().enumerate() {
                    for (side, from) in [(STUDENT, pair.from[1]), (TEACHER, pair.to[1])] {
                        let name = embedding(side, student, place);
                        plan.add_auxiliary(&name, linear(&name, from, self.config.embedding)?);
                    }
                }
            }
        }
        plan.declare_term(NAME, "β · 1/B² · ‖C_t − C_s‖²");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for (guided, hint) in pairs::recorded::<2>(record)? {
            losses.push(match self.config.form {
                Form::Paper => self.congruence(&guided, &hint),
                Form::Code => neighbours(
                    layers::recorded_linear(record, "embed_s", guided)?,
                    layers::recorded_linear(record, "embed_t", hint)?,
                ),
            });
        }
        Ok(vec![Term {
            name: NAME,
            value: features::summed(losses),
            weight: self.config.weight.at(record.epoch()),
        }])
    }
}

impl Prepared for OnPairs<Cc> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<2>(step, &self.method.config.weight, |student, pairs| {
                let mut losses = Vec::new();
                for (place, (guided, hint)) in pairs.iter().enumerate() {
                    losses.push(match self.method.config.form {
                        Form::Paper => self.method.congruence(guided, hint),
                        Form::Code => {
                            let embed = |side, features: &Tensor<2>| {
                                step.auxiliary_output::<2>(
                                    &embedding(side, student, place),
                                    features.clone().into(),
                                )
                            };
                            neighbours(embed(STUDENT, guided)?, embed(TEACHER, hint)?)
                        }
                    });
                }
                Ok(features::summed(losses))
            })
    }
}

/// 1/(B − 1) Σ_i Σ_d |d_i| |d_{i+1}| of the differences of two embeddings `[batch, features]`; 0 for a single picture.
fn neighbours(guided: Tensor<2>, hint: Tensor<2>) -> Tensor<1> {
    let differences = (guided - hint).abs();
    let pairs = differences.dims()[0].saturating_sub(1);
    if pairs == 0 {
        return differences.sum() * 0.0;
    }
    let (before, after) = (
        differences.clone().narrow(0, 0, pairs),
        differences.narrow(0, 1, pairs),
    );
    (before * after).sum() / pairs as f64
}

const STUDENT: &str = "student";
const TEACHER: &str = "teacher";

fn embedding(side: &str, student: usize, place: usize) -> String {
    format!("cc.{side}{student}.{place}")
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "how the pictures of a batch correlate",
        paper: Paper {
            title: "Correlation Congruence for Knowledge Distillation",
            authors: "Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang",
            year: 2019,
            arxiv: "1904.01802",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "β, 0 or more; a number or a schedule" },
            PluginOption { name: "gamma", doc: "γ of the kernel, above 0" },
            PluginOption { name: "order", doc: "order of the series of the kernel" },
            PluginOption { name: "embedding", doc: "features of the embeddings of form=code" },
            PluginOption { name: "form", doc: "paper: kernels between pictures; code: products of neighbouring differences" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Cc::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("cc:weight=1", "cc_paper.safetensors", "student_feat");
        assert_differs("cc:weight=1,order=3", "cc_paper.safetensors");
        assert_agrees("cc:form=code,weight=1", "cc_repo.safetensors", "embed_t.weight");
        assert_differs("cc:weight=1", "cc_repo.safetensors");
    }
}
