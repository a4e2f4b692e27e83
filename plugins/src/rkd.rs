//! Relational knowledge distillation. W. Park, D. Kim, Y. Lu, M. Cho: "Relational Knowledge Distillation", 2019 (arXiv 1904.05068), equations 5 to 10.
//!
//! L = λ_D Σ huber(ψ_D(s_i, s_j) − ψ_D(t_i, t_j)) + λ_A Σ huber(ψ_A(s_i, s_j, s_k) − ψ_A(t_i, t_j, t_k)) over tuples of a batch of features `[batch,
//! features]`: ψ_D the Euclidean distance over the mean distance of the batch, ψ_A the cosine of the angle at the first of three, huber with δ = 1.
//!
//! Departures: the paper's sums are means here, so that a weight does not depend on the batch: over the tuples of distinct samples, or with `form =
//! code`, as the authors' code and RepDistiller have it, over all B² and B³ tuples, those that repeat a sample counting as 0.

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

const NAME: &str = "rkd";

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
    /// Factor of both terms.
    pub weight: Schedule,
    /// λ_D, 0 or more.
    pub distance_weight: f64,
    /// λ_A, 0 or more.
    pub angle_weight: f64,
    /// Over which tuples the means go.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(1.0),
            distance_weight: 25.0,
            angle_weight: 50.0,
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Rkd {
    config: Config,
    pairs: Pairs,
}

impl Rkd {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        for (option, value) in [
            ("distance-weight", config.distance_weight),
            ("angle-weight", config.angle_weight),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(PluginError::bad_value(NAME, option, value, "0 or more"));
            }
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Features)?;
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<2>, Tensor<2>)]) -> Tensor<1> {
        features::summed(pairs.iter().map(|(guided, hint)| {
            let batch = guided.dims()[0] as f64;
            let (pairs, triplets) = match self.config.form {
                Form::Paper => (batch * (batch - 1.0), batch * (batch - 1.0) * (batch - 2.0)),
                Form::Code => (batch.powi(2), batch.powi(3)),
            };
            let distances = huber(distances(guided) - distances(hint)).sum() / pairs.max(1.0);
            let angles = huber(angles(guided) - angles(hint)).sum() / triplets.max(1.0);
            distances * self.config.distance_weight + angles * self.config.angle_weight
        }))
    }
}

/// x²/2 up to 1, then |x| − ½.
fn huber<const D: usize>(difference: Tensor<D>) -> Tensor<D> {
    let size = difference.abs();
    let near = size.clone().clamp_max(1.0);
    near.clone() * (size - near * 0.5)
}

/// ‖f_i − f_j‖ over the mean of those that are not 0, `[batch, batch]`.
fn distances(features: &Tensor<2>) -> Tensor<2> {
    let batch = features.dims()[0];
    let distinct =
        Tensor::<2>::ones([batch, batch], &features.device()) - Tensor::<2>::eye(batch, &features.device());
    let squares = differences(features).square().sum_dim(2).squeeze_dim::<2>(2);
    // A distance of 0 has no slope: the diagonal is left out of the root.
    let distances = squares.clamp_min(1e-12).sqrt() * distinct;
    let positive = distances.clone().greater_elem(1e-6).float();
    let mean = distances.clone().sum() / positive.sum().clamp_min(1.0);
    distances / mean.clamp_min(1e-12).unsqueeze::<2>()
}

/// f_j − f_i, `[batch (i), batch (j), features]`.
fn differences(features: &Tensor<2>) -> Tensor<3> {
    let rows = features.clone().unsqueeze_dim::<3>(0);
    rows - features.clone().unsqueeze_dim::<3>(1)
}

/// The cosine between f_j − f_i and f_k − f_i, `[batch (i), batch (j), batch (k)]`.
fn angles(features: &Tensor<2>) -> Tensor<3> {
    let directions = features::unit_rows(differences(features));
    directions.clone().matmul(directions.swap_dims(1, 2))
}

impl Plugin for Rkd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_vectors(NAME, pairs.chosen())?;
        plan.declare_term(NAME, "λ_D · huber(ψ_D) + λ_A · huber(ψ_A)");
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

impl Prepared for OnPairs<Rkd> {
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
        summary: "distances and angles between the pictures of a batch",
        paper: Paper {
            title: "Relational Knowledge Distillation",
            authors: "Park, Kim, Lu, Cho",
            year: 2019,
            arxiv: "1904.05068",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "factor of both terms, 0 or more; a number or a schedule" },
            PluginOption { name: "distance-weight", doc: "λ_D, 0 or more" },
            PluginOption { name: "angle-weight", doc: "λ_A, 0 or more" },
            PluginOption { name: "form", doc: "paper: means over tuples of distinct samples; code: over all tuples" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Rkd::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("rkd:form=code", "rkd_base.safetensors", "student_feat");
        assert_differs("rkd", "rkd_base.safetensors");
        assert_differs("rkd:form=code,angle-weight=49", "rkd_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<2>("rkd", "rkd_base.safetensors", "student_feat");
    }
}
