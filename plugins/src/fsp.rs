//! Flow of the solution procedure. J. Yim, D. Joo, J. Bae, J. Kim: "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and
//! Transfer Learning", 2017 (CVPR), equations 1 and 2.
//!
//! G `[channels of f₁, channels of f₂]` between two maps of a network, one after the other: G_cd = 1/(h w) Σ_hw f₁_c f₂_d. L = 1/B Σ_b Σ_i ‖G_t −
//! G_s‖² over the neighbouring maps.
//!
//! Departures: the paper learns G first, in a stage of its own, and the classes after that; here the term stands beside the others, unless
//! `init-epochs` says how long such a stage is. Where two maps differ in extents the larger is averaged; the paper takes maxima. `form = code` takes
//! the mean over the entries of G, as RepDistiller does.

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

const NAME: &str = "fsp";

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
    /// λ.
    pub weight: Schedule,
    /// Whose arithmetic.
    pub form: Form,
    /// Length of a stage before the main one, in which this term is alone; 0: no such stage, and the term beside the others.
    pub init_epochs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(1.0),
            form: Form::Paper,
            init_epochs: 0,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Fsp {
    config: Config,
    pairs: Pairs,
}

impl Fsp {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Stages)?
            .before_the_rest(config.init_epochs);
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let flow = |first: &Tensor<4>, second: &Tensor<4>| {
            let (first, second) = features::pooled_alike(first.clone(), second.clone());
            let [_, _, height, width] = first.dims();
            let (first, second) = (first.flatten::<3>(2, 3), second.flatten::<3>(2, 3));
            first.matmul(second.swap_dims(1, 2)) / (height * width).max(1) as f64
        };
        features::summed(pairs.windows(2).map(|window| {
            let (first, second) = (&window[0], &window[1]);
            let difference = flow(&first.0, &second.0) - flow(&first.1, &second.1);
            let [batch, ..] = difference.dims();
            let squares = difference.square();
            match self.config.form {
                Form::Paper => squares.sum() / batch.max(1) as f64,
                Form::Code => squares.mean(),
            }
        }))
    }
}

impl Plugin for Fsp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), true)?;
        plan.declare_term(NAME, "λ · Σ ‖G_t − G_s‖²");
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

impl Prepared for OnPairs<Fsp> {
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
        summary: "how each map of a network follows from the one before",
        paper: Paper {
            title: "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning",
            authors: "Yim, Joo, Bae, Kim",
            year: 2017,
            arxiv: "",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "λ, 0 or more; a number or a schedule" },
            PluginOption { name: "form", doc: "paper: sum over the entries of a matrix; code: their mean" },
            PluginOption { name: "init-epochs", doc: "length of a stage before the main one with this term alone; 0: beside the others throughout" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Fsp::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("fsp:form=code", "fsp_base.safetensors", "student_feat.1");
        assert_differs("fsp", "fsp_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<4>("fsp", "fsp_base.safetensors", "student_feat.1");
    }
}
