//! Probabilistic knowledge transfer. N. Passalis, A. Tefas: "Learning Deep Representations with Probabilistic Knowledge Transfer", 2018 (arXiv
//! 1803.10837), equations 4 to 7 with the cosine kernel.
//!
//! p (teacher) and q (student) are the rows of (cos(f_i, f_j) + 1) / 2 over a batch of features `[batch, features]`, each divided by its sum. L = Σ_i
//! Σ_{j≠i} p_{j|i} log(p_{j|i} / q_{j|i}).
//!
//! Departures: the sum is a mean here, so that the weight does not depend on the batch: over the pairs of distinct pictures, or with `form = code`,
//! as the authors' code has it, over all B² pairs, a picture's similarity with itself among them. 1e-7 is added to both inside the logarithm, as in
//! the code.

use burn::tensor::Tensor;
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "pkt";
/// What the reference code adds to norms and probabilities.
const EPSILON: f64 = 1e-7;

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
    /// Factor of the mean.
    pub weight: Schedule,
    /// Whether a picture is compared with itself.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(30000.0),
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Pkt {
    config: Config,
    pairs: Pairs,
}

impl Pkt {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Features)?;
        Ok(Self { config, pairs })
    }

    /// The conditional probabilities `[batch, batch]`; which entries count is 1 in `counted`.
    fn probabilities(features: &Tensor<2>, counted: &Tensor<2>) -> Tensor<2> {
        // Guarded as the reference code: the norm by 1e-7.
        let norm = features.clone().square().sum_dim(1).clamp_min(1e-24).sqrt() + EPSILON;
        let directions = features.clone() / norm;
        let cosines = directions.clone().matmul(directions.transpose());
        let similarities = (cosines + 1.0) * 0.5 * counted.clone();
        let sum = similarities.clone().sum_dim(1).clamp_min(1e-12);
        similarities / sum
    }

    fn compared(&self, pairs: &[(Tensor<2>, Tensor<2>)]) -> Tensor<1> {
        features::summed(pairs.iter().map(|(guided, hint)| {
            let batch = guided.dims()[0];
            let all = Tensor::<2>::ones([batch, batch], &guided.device());
            let counted = match self.config.form {
                Form::Code => all,
                Form::Paper => all - Tensor::<2>::eye(batch, &guided.device()),
            };
            let (q, p) = (
                Self::probabilities(guided, &counted),
                Self::probabilities(hint, &counted),
            );
            // p log((p + ε) / (q + ε)) summed, without the difference of nearly equal numbers that the logarithm of a ratio near 1 is: the rows of p
            // and q have the same sum.
            let change = (q - p.clone()) / (p.clone() + EPSILON);
            let terms = p * (change.clone() - change.clone().log1p()) + change * EPSILON;
            terms.sum() / counted.sum().clamp_min(1.0)
        }))
    }
}

impl Plugin for Pkt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_vectors(NAME, pairs.chosen())?;
        plan.declare_term(NAME, "w · mean p log(p / q)");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let pairs = pairs::recorded::<2>(record)?;
        Ok(vec![Term {
            name: NAME,
            value: self.compared(&pairs),
            weight: self.config.weight.at(record.epoch()),
        }])
    }
}

impl Prepared for OnPairs<Pkt> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<2>(step, &self.method.config.weight, |_, pairs| {
                Ok(self.method.compared(pairs))
            })
    }
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "the probabilities with which pictures of a batch are neighbours",
        paper: Paper {
            title: "Learning Deep Representations with Probabilistic Knowledge Transfer",
            authors: "Passalis, Tefas",
            year: 2018,
            arxiv: "1803.10837",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "0 or more; a number or a schedule" },
            PluginOption { name: "form", doc: "paper: pairs of distinct pictures; code: all pairs" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Pkt::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("pkt:form=code,weight=1", "pkt_base.safetensors", "student_feat");
        assert_differs("pkt:weight=1", "pkt_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<2>("pkt:weight=1", "pkt_base.safetensors", "student_feat");
    }
}
