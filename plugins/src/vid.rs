//! Variational information distillation. S. Ahn, S. X. Hu, A. Damianou, N. D. Lawrence, Z. Dai:
//! "Variational Information Distillation for Knowledge Transfer", 2019 (arXiv 1904.05835),
//! equations 4 to 6.
//!
//! The teacher's map t is taken to be Gaussian around what a regressor makes of the student's map
//! s, with a variance for each channel that is learnt as well: L = ½ ((t − μ(s))² / σ_c² + log
//! σ_c²), σ_c² = log(1 + exp α_c) + ε. The regressor μ is three 1 × 1 convolutions without bias,
//! ReLU between them.
//!
//! Departures: the sum over the elements of a map is their mean here, as in RepDistiller, so that
//! the weight does not depend on its size; constants are dropped. Maps of different extents are
//! compared at the smaller ones.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, softplus};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::graph::{Graph, GraphError, Init, Role};
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

use crate::features;
use crate::pairs::{self, OnPairs, PairOptions, Pairs, Suggestion, pair_options};

pair_options! {
    /// Variational information distillation.
    pub struct Vid for "vid" {
        /// factor of the term; a number or a schedule
        weight = 1.0;
    }
}

impl Plugin for Vid {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::Stages).prepare::<4>(plan)?;
        for (student, place, pair) in pairs.each() {
            let name = auxiliary(student, place);
            plan.add_auxiliary(&name, regressor(&name, &pair.from, pair.to[1])?);
        }
        plan.declare_term(Self::PLUGIN, "w · ½ ((t − μ(s))²/σ² + log σ²)");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for (guided, hint) in pairs::recorded::<4>(record)? {
            let (guided, hint) = features::pooled_alike(guided, hint);
            let channels = hint.dims()[1];
            let mean = recorded_mean(record, guided, channels)?;
            let log_scale = record.float::<1>("log_scale")?;
            if log_scale.dims()[0] != channels {
                return Err(PluginError::RecordedShape {
                    tensor: "log_scale".to_owned(),
                    got: format!("{:?}", log_scale.dims()),
                    expected: format!("[{channels}]"),
                });
            }
            losses.push(likelihood(hint, mean, log_scale));
        }
        Ok(vec![self.recorded_term(features::summed(losses), record)])
    }
}

impl Prepared for OnPairs<Vid> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<4>(step, &self.method.weight, |student, pairs| {
                let mut losses = Vec::new();
                for (place, (guided, hint)) in pairs.iter().cloned().enumerate() {
                    let (guided, hint) = features::pooled_alike(guided, hint);
                    let outputs = step.auxiliary(&auxiliary(student, place), guided.into())?;
                    losses.push(likelihood(hint, outputs.float(MEAN)?, outputs.float(LOG_SCALE)?));
                }
                Ok(features::summed(losses))
            })
    }
}

/// μ of a map by the recorded convolutions of a regressor, of as many channels as the teacher's map
/// has.
fn recorded_mean(record: &Recorded, guided: Tensor<4>, channels: usize) -> Result<Tensor<4>, PluginError> {
    let mut mean = guided;
    for layer in LAYERS {
        if layer != LAYERS[0] {
            mean = relu(mean);
        }
        let name = format!("regressor.{layer}.weight");
        let weight = record.float::<4>(&name)?;
        let [out, from, ..] = weight.dims();
        let last = layer == LAYERS[LAYERS.len() - 1];
        if from != mean.dims()[1] || (last && out != channels) {
            return Err(PluginError::RecordedShape {
                tensor: name,
                got: format!("{:?}", weight.dims()),
                expected: format!(
                    "1 × 1 kernels from {} channels, at last to {channels}",
                    mean.dims()[1]
                ),
            });
        }
        mean = conv2d(mean, weight, None, ConvOptions::new([1; 2], [0; 2], [1; 2], 1));
    }
    Ok(mean)
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

/// μ and α as a network with two outputs, for maps of the shape `dims` and a teacher's map of `out`
/// channels.
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
    PluginEntry::new::<Vid>(
        "the teacher's maps predicted with a variance that is learnt",
        Paper {
            title: "Variational Information Distillation for Knowledge Transfer",
            authors: "Ahn, Hu, Damianou, Lawrence, Dai",
            year: 2019,
            arxiv: "1904.05835",
        },
    )
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
