//! Variational information distillation. S. Ahn, S. X. Hu, A. Damianou, N. D. Lawrence, Z. Dai: "Variational Information Distillation for Knowledge
//! Transfer", 2019 (arXiv 1904.05835), equations 4 to 6.
//!
//! The teacher's map t is taken to be Gaussian around what a regressor makes of the student's map s, with a variance for each channel that is learnt
//! as well: L = ½ ((t − μ(s))² / σ_c² + log σ_c²), σ_c² = log(1 + exp α_c) + ε. The regressor μ is three 1 × 1 convolutions without bias, ReLU
//! between them.
//!
//! Departures: the sum over the elements of a map is their mean here, as in RepDistiller, so that the weight does not depend on its size; constants
//! are dropped. Maps of different extents are compared at the smaller ones.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softplus};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use potstill_core::graph::{Conv, Graph, GraphBuilder, GraphError, Init, Role};
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "vid";

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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(1.0),
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Vid {
    config: Config,
    pairs: Pairs,
}

impl Vid {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Stages)?;
        Ok(Self { config, pairs })
    }
}

impl Plugin for Vid {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        for (student, pairs) in pairs.chosen().iter().enumerate() {
            for (place, pair) in pairs.iter().enumerate() {
                let name = auxiliary(student, place);
                plan.add_auxiliary(&name, regressor(&name, &pair.from, pair.to[1])?);
            }
        }
        plan.declare_term(NAME, "w · ½ ((t − μ(s))²/σ² + log σ²)");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for (guided, hint) in pairs::recorded::<4>(record)? {
            let (mut mean, hint) = features::pooled_alike(guided, hint);
            for layer in LAYERS {
                if layer != LAYERS[0] {
                    mean = relu(mean);
                }
                let name = format!("regressor.{layer}.weight");
                let weight = record.float::<4>(&name)?;
                let [out, from, ..] = weight.dims();
                let last = layer == LAYERS[LAYERS.len() - 1];
                if from != mean.dims()[1] || (last && out != hint.dims()[1]) {
                    return Err(PluginError::RecordedShape {
                        tensor: name,
                        got: format!("{:?}", weight.dims()),
                        expected: format!(
                            "1 × 1 kernels from {} channels, at last to {}",
                            mean.dims()[1],
                            hint.dims()[1]
                        ),
                    });
                }
                mean = conv2d(mean, weight, None, ConvOptions::new([1; 2], [0; 2], [1; 2], 1));
            }
            let log_scale = record.float::<1>("log_scale")?;
            if log_scale.dims()[0] != hint.dims()[1] {
                return Err(PluginError::RecordedShape {
                    tensor: "log_scale".to_owned(),
                    got: format!("{:?}", log_scale.dims()),
                    expected: format!("[{}]", hint.dims()[1]),
                });
            }
            losses.push(likelihood(hint, mean, log_scale));
        }
        Ok(vec![Term {
            name: NAME,
            value: features::summed(losses),
            weight: self.config.weight.at(record.epoch()),
        }])
    }
}

impl Prepared for OnPairs<Vid> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<4>(step, &self.method.config.weight, |student, pairs| {
                let mut losses = Vec::new();
                for (place, (guided, hint)) in pairs.iter().enumerate() {
                    let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
                    let outputs = step.auxiliary(&auxiliary(student, place), guided.into())?;
                    losses.push(likelihood(hint, outputs.float(MEAN)?, outputs.float(LOG_SCALE)?));
                }
                Ok(features::summed(losses))
            })
    }
}

/// The convolutions of a regressor, by their numbers among its layers in the reference code.
const LAYERS: [usize; 3] = [0, 2, 4];
const MEAN: &str = "mean";
const LOG_SCALE: &str = "log_scale";
/// Added to a variance.
const EPSILON: f64 = 1e-5;
/// The variance before training.
const FIRST_VARIANCE: f64 = 5.0;

/// mean ½ ((t − μ)² / σ² + log σ²); t and μ `[batch, channels, height, width]`, α `[channels]`.
fn likelihood(hint: Tensor<4>, mean: Tensor<4>, log_scale: Tensor<1>) -> Tensor<1> {
    let channels = log_scale.dims()[0];
    let variance = softplus(log_scale, 1.0) + EPSILON;
    let variance = variance.reshape([1, channels, 1, 1]);
    (((hint - mean).square() / variance.clone() + variance.log()) * 0.5).mean()
}

fn auxiliary(student: usize, place: usize) -> String {
    format!("vid.regressor{student}.{place}")
}

/// μ and α as a network with two outputs, for maps of the shape `dims` and a teacher's map of `out` channels.
fn regressor(name: &str, dims: &[usize], out: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let mut x = b.input("guided", &dims[1..]);
    for layer in LAYERS {
        if layer != LAYERS[0] {
            x = b.relu(&format!("regressor.{}", layer - 1), &x)?;
        }
        x = b.conv(&format!("regressor.{layer}"), &x, Conv::same(out, 1))?;
    }
    b.output(MEAN, &x)?;
    // log(1 + exp α) = 5 − ε.
    let alpha = ((FIRST_VARIANCE - EPSILON).exp() - 1.0).ln() as f32;
    let alpha = b.tensor("alpha", Role::Weight, &[out], Init::Fill(alpha));
    let alpha = b.node("scale", "Identity", &[&alpha], [])?;
    b.output(LOG_SCALE, &alpha)?;
    b.finish()
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "the teacher's maps predicted with a variance that is learnt",
        paper: Paper {
            title: "Variational Information Distillation for Knowledge Transfer",
            authors: "Ahn, Hu, Damianou, Lawrence, Dai",
            year: 2019,
            arxiv: "1904.05835",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "0 or more; a number or a schedule" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Vid::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for record in ["vid_base.safetensors", "vid_pool.safetensors"] {
            assert_agrees("vid", record, "log_scale");
            assert_differs("vid:weight=2", record);
        }
    }
}
