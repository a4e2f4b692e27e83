//! Neuron selectivity transfer. Z. Huang, N. Wang: "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017 (arXiv 1707.01219),
//! equation 7.
//!
//! The channels of a map, each flattened over its positions and divided by its 2-norm, are samples of a distribution; student's and teacher's are
//! brought together by the maximum mean discrepancy with the kernel k(a, b) = (aᵀb)²: L = λ/2 Σ (mean k(t, t) + mean k(s, s) − 2 mean k(s, t)) over
//! the pairs of maps, averaged over the batch. `weight` is λ/2. Maps of different extents are compared at the smaller ones; the numbers of channels
//! need not agree.

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

const NAME: &str = "nst";

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
    /// Half of the paper's λ.
    pub weight: Schedule,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(50.0),
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Nst {
    config: Config,
    pairs: Pairs,
}

impl Nst {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Stages)?;
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        // [batch, channels, positions], of norm 1 along the positions.
        let samples = |map: Tensor<4>| features::unit_rows(map.flatten::<3>(2, 3));
        let kernel =
            |a: &Tensor<3>, b: &Tensor<3>| a.clone().matmul(b.clone().swap_dims(1, 2)).square().mean();
        features::summed(pairs.iter().map(|(guided, hint)| {
            let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
            let (s, t) = (samples(guided), samples(hint));
            kernel(&t, &t) + kernel(&s, &s) - kernel(&s, &t) * 2.0
        }))
    }
}

impl Plugin for Nst {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        plan.declare_term(NAME, "λ/2 · Σ MMD²(f_s, f_t)");
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

impl Prepared for OnPairs<Nst> {
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
        summary: "the distribution of neuron activations over positions",
        paper: Paper {
            title: "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
            authors: "Huang, Wang",
            year: 2017,
            arxiv: "1707.01219",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "half of the λ of the paper, 0 or more; a number or a schedule" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Nst::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("nst:weight=1", "nst_base.safetensors", "student_feat.1");
        assert_differs("nst:weight=2", "nst_base.safetensors");
    }
}
