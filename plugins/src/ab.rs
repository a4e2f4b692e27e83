//! Activation boundaries. B. Heo, M. Lee, S. Yun, J. Y. Choi: "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
//! Neurons", 2019 (arXiv 1811.03233), equations 6 and 8.
//!
//! On values before their ReLU, s (student, after a connector: 1 × 1 convolution and BatchNorm) and t: L = ‖1[t > 0] ⊙ σ(μ − s) + 1[t ≤ 0] ⊙ σ(μ +
//! s)‖²₂, σ the ReLU, μ a margin: the student's neurons are to be active where the teacher's are, whatever their value. Averaged over the batch,
//! summed over the pairs of maps.
//!
//! Departures: the paper initialises the student with this loss and trains on the classes after that: `init-epochs` is the length of that stage, and
//! 0 puts the term beside the others. `form = code` has the authors' factors: 3/1000 for all, and ½ for each map before the last.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "ab";

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
    /// Factor of the term.
    pub weight: Schedule,
    /// μ, above 0.
    pub margin: f64,
    /// Whose factors.
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
            margin: 1.0,
            form: Form::Paper,
            init_epochs: 10,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Ab {
    config: Config,
    pairs: Pairs,
}

impl Ab {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        if !(config.margin.is_finite() && config.margin > 0.0) {
            return Err(PluginError::bad_value(
                NAME,
                "margin",
                config.margin,
                "a number above 0",
            ));
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::BeforeActivation)?
            .connected()
            .before_the_rest(config.init_epochs);
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let margin = self.config.margin;
        let last = pairs.len().saturating_sub(1);
        features::summed(pairs.iter().enumerate().map(|(place, (guided, hint))| {
            let active = hint.clone().greater_elem(0.0).float();
            let below = relu(-guided.clone() + margin) * active.clone();
            let above = relu(guided.clone() + margin) * (-active + 1.0);
            let batch = guided.dims()[0].max(1) as f64;
            let factor = match self.config.form {
                Form::Paper => 1.0,
                Form::Code => 3e-3 * 0.5_f64.powi((last - place) as i32),
            };
            (below + above).square().sum() * (factor / batch)
        }))
    }
}

impl Plugin for Ab {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        plan.declare_term(NAME, "w · Σ ‖boundary(t, s)‖²");
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

impl Prepared for OnPairs<Ab> {
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
        summary: "where the neurons of the teacher turn active",
        paper: Paper {
            title: "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons",
            authors: "Heo, Lee, Yun, Choi",
            year: 2019,
            arxiv: "1811.03233",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "0 or more; a number or a schedule" },
            PluginOption { name: "margin", doc: "μ, above 0" },
            PluginOption { name: "form", doc: "paper: the squared norm; code: 3/1000 of it, and half for each map before the last" },
            PluginOption { name: "init-epochs", doc: "length of a stage before the main one with this term alone; 0: beside the others throughout" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Ab::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("ab:form=code", "ab_base.safetensors", "student_feat.0");
        assert_differs("ab:form=code,margin=2", "ab_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<4>("ab", "ab_base.safetensors", "student_feat.1");
    }
}
