//! Attention transfer. S. Zagoruyko, N. Komodakis: "Paying More Attention to Attention", 2017 (arXiv 1612.03928), equation 2.
//!
//! Q = Σ_c |f_c|^p, flattened over the positions of a map f: `[batch, channels, height, width]`, and divided by its 2-norm. L = (β/2) Σ_j ‖Q_s −
//! Q_t‖₂ over the pairs of maps, averaged over the batch; the paper sets β to 1000 over the number of positions, which `weight` leaves to this file.
//!
//! Departures: `form = code` is what the authors' code and RepDistiller compute, the mean of the squared differences, without β/2, and with f^p in
//! place of |f|^p. Maps of different extents are compared at the smaller ones.

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

const NAME: &str = "at";

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
    /// β times the number of positions.
    pub weight: Schedule,
    /// p, 1 or more.
    pub power: u32,
    /// Whose arithmetic.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(1000.0),
            power: 2,
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct At {
    config: Config,
    pairs: Pairs,
}

impl At {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        if config.power == 0 {
            return Err(PluginError::bad_value(NAME, "power", 0, "1 or more"));
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Stages)?;
        Ok(Self { config, pairs })
    }

    /// Q over its norm, `[batch, positions]`.
    fn attention(&self, map: Tensor<4>) -> Tensor<2> {
        let power = self.config.power as i32;
        let map = match self.config.form {
            Form::Paper if power % 2 == 1 => map.abs(),
            _ => map,
        };
        features::unit_rows(map.powi_scalar(power).sum_dim(1).flatten::<2>(1, 3))
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let of = |(guided, hint): &(Tensor<4>, Tensor<4>)| {
            let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
            let squares = (self.attention(guided) - self.attention(hint)).square();
            match self.config.form {
                Form::Code => squares.mean(),
                Form::Paper => {
                    let positions = squares.dims()[1].max(1) as f64;
                    // The root's slope at 0 has no bound.
                    let norm = squares.sum_dim(1).clamp_min(1e-12).sqrt();
                    norm.mean() / (2.0 * positions)
                }
            }
        };
        features::summed(pairs.iter().map(of))
    }
}

impl Plugin for At {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        plan.declare_term(NAME, "β/2 · Σ_j ‖Q_s/‖Q_s‖ − Q_t/‖Q_t‖‖");
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

impl Prepared for OnPairs<At> {
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
        summary: "attention maps: where the teacher looks",
        paper: Paper {
            title: "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer",
            authors: "Zagoruyko, Komodakis",
            year: 2017,
            arxiv: "1612.03928",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "β times the number of positions, 0 or more; a number or a schedule" },
            PluginOption { name: "power", doc: "p, 1 or more" },
            PluginOption { name: "form", doc: "paper: half the norm of the difference over the positions; code: the mean of its squares" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(At::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for record in ["at_p2", "at_p2_pool"] {
            let record = format!("{record}.safetensors");
            assert_agrees("at:form=code,weight=1", &record, "student_feat.0");
            assert_differs("at:weight=1", &record);
            assert_differs("at:form=code,weight=1,power=3", &record);
        }
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        for power in [2, 3] {
            assert_slopes::<4>(
                &format!("at:weight=1,power={power}"),
                "at_p2.safetensors",
                "student_feat.0",
            );
        }
    }
}
