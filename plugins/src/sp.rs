//! Similarity-preserving distillation. F. Tung, G. Mori: "Similarity-Preserving Knowledge Distillation", 2019 (arXiv 1907.09682), equations 1 to 4.
//!
//! G = Q Qᵀ `[batch, batch]`, Q a map flattened to `[batch, elements]`, each row of G divided by its 2-norm. L = γ/B² Σ ‖G_t − G_s‖²_F over the pairs
//! of maps. Pictures that the teacher finds alike are to be alike for the student; extents and channels need not agree.

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

const NAME: &str = "sp";

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
    /// γ.
    pub weight: Schedule,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(3000.0),
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Sp {
    config: Config,
    pairs: Pairs,
}

impl Sp {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::LastStage)?;
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let similarities = |map: &Tensor<4>| {
            let rows = map.clone().flatten::<2>(1, 3);
            features::unit_rows(rows.clone().matmul(rows.transpose()))
        };
        features::summed(
            pairs
                .iter()
                .map(|(guided, hint)| (similarities(hint) - similarities(guided)).square().mean()),
        )
    }
}

impl Plugin for Sp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        plan.declare_term(NAME, "γ/B² · Σ ‖G_t − G_s‖²");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let pairs = pairs::recorded::<4>(record)?;
        Ok(vec![Term {
            name: NAME,
            value: self.compared(&pairs),
            weight: self.config.weight.at(record.epoch()),
        }])
    }
}

impl Prepared for OnPairs<Sp> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<4>(step, &self.method.config.weight, |_, pairs| {
                Ok(self.method.compared(pairs))
            })
    }
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "which pictures of a batch the teacher finds alike",
        paper: Paper {
            title: "Similarity-Preserving Knowledge Distillation",
            authors: "Tung, Mori",
            year: 2019,
            arxiv: "1907.09682",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "γ, 0 or more; a number or a schedule" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Sp::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("sp:weight=1", "sp_one.safetensors", "student_feat.0");
        assert_differs("sp:weight=2", "sp_one.safetensors");
    }
}
