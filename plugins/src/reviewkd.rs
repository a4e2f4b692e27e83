//! Knowledge review. P. Chen, S. Liu, H. Zhao, J. Jia: "Distilling Knowledge via Knowledge Review", 2021 (arXiv 2104.09044), equations 5 and 6, figure 3.
//!
//! Going from the deepest stage to the shallowest, an attention module fuses the student's map of a stage with what was fused so far, and a
//! convolution brings the result to the teacher's map of that stage, so that the teacher's early stages also teach the student's late ones. With HCL
//! the hierarchical context loss, Σ_l w_l mse(pool_l(s), pool_l(t)) / Σ_l w_l over the full map (w = 1) and its averages of 4 × 4, 2 × 2 and 1 pixels
//! (w halved each time, levels not smaller than the map left out): L = Σ_i HCL(fused_i, t_i).
//!
//! Departures: the halving weights come from the authors' code; its additional pair, the pooled features, is left out. The authors raise the weight
//! over the first epochs: `weight = "linear(0, 1, 20)"`.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use potstill_core::graph::{Conv, Graph, GraphBuilder, GraphError};
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "reviewkd";

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
    /// Channels of the fused maps.
    pub width: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(1.0),
            width: 64,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct ReviewKd {
    config: Config,
    pairs: Pairs,
}

impl ReviewKd {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        if config.width == 0 {
            return Err(PluginError::bad_value(NAME, "width", 0, "1 or more"));
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::Stages)?;
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        features::summed(pairs.iter().map(|(guided, hint)| {
            let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
            context_loss(guided, hint)
        }))
    }

    /// What the student's maps become before they are compared, from the shallowest on.
    fn fused(
        &self,
        step: &Step<'_>,
        student: usize,
        pairs: &[(Tensor<4>, Tensor<4>)],
    ) -> Result<Vec<(Tensor<4>, Tensor<4>)>, PluginError> {
        let mut above: Option<Tensor<4>> = None;
        let mut fused = Vec::new();
        for (place, (guided, hint)) in pairs.iter().enumerate().rev() {
            let run =
                |part, x: Tensor<4>| step.auxiliary_output::<4>(&auxiliary(part, student, place), x.into());
            let mut x = run(ENTRANCE, guided.clone())?;
            if let Some(above) = above {
                let [_, _, height, width] = x.dims();
                let nearest = InterpolateOptions::new(InterpolateMode::Nearest);
                let above = interpolate(above, nearest.with_output_size([height, width]));
                let attention = run(ATTENTION, Tensor::cat(vec![x.clone(), above.clone()], 1))?;
                let share = |of: usize| attention.clone().narrow(1, of, 1);
                x = x * share(0) + above * share(1);
            }
            fused.push((run(EXIT, x.clone())?, hint.clone()));
            above = Some(x);
        }
        fused.reverse();
        Ok(fused)
    }
}

impl Plugin for ReviewKd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        for (student, pairs) in pairs.chosen().iter().enumerate() {
            for (place, pair) in pairs.iter().enumerate() {
                let width = self.config.width;
                let at = |channels: usize| {
                    let mut dims = pair.from.clone();
                    dims[1] = channels;
                    dims
                };
                let mut add = |part, from, to| -> Result<(), PluginError> {
                    let name = auxiliary(part, student, place);
                    plan.add_auxiliary(&name, module(part, &name, &at(from), to)?);
                    Ok(())
                };
                add(ENTRANCE, pair.from[1], width)?;
                if place + 1 < pairs.len() {
                    add(ATTENTION, 2 * width, 2)?;
                }
                add(EXIT, width, pair.to[1])?;
            }
        }
        plan.declare_term(NAME, "w · Σ HCL(fused_i, t_i)");
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

impl Prepared for OnPairs<ReviewKd> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs
            .terms::<4>(step, &self.method.config.weight, |student, pairs| {
                Ok(self.method.compared(&self.method.fused(step, student, pairs)?))
            })
    }
}

const ENTRANCE: &str = "in";
const ATTENTION: &str = "attention";
const EXIT: &str = "out";
/// Extents of the averages that are compared beside the full maps.
const LEVELS: [usize; 3] = [4, 2, 1];

fn auxiliary(part: &str, student: usize, place: usize) -> String {
    format!("reviewkd.{part}{student}.{place}")
}

/// One part of a fusion, from maps of the shape `dims` to `to` channels.
fn module(part: &str, name: &str, dims: &[usize], to: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let x = b.input("x", &dims[1..]);
    let y = match part {
        ATTENTION => {
            let y = b.conv("conv", &x, Conv::same(to, 1).with_bias())?;
            b.node("sigmoid", "Sigmoid", &[&y], [])?
        }
        _ => {
            let kernel = if part == EXIT { 3 } else { 1 };
            let y = b.conv("conv", &x, Conv::same(to, kernel))?;
            b.batch_norm("norm", &y)?
        }
    };
    b.output("y", &y)?;
    b.finish()
}

/// HCL of two maps of one shape.
fn context_loss(guided: Tensor<4>, hint: Tensor<4>) -> Tensor<1> {
    let error = |guided: Tensor<4>, hint: Tensor<4>| (guided - hint).square().mean();
    let [_, _, height, width] = guided.dims();
    let mut sum = error(guided.clone(), hint.clone());
    let (mut weight, mut total) = (1.0, 1.0);
    for level in LEVELS.into_iter().filter(|level| *level < height.min(width)) {
        weight *= 0.5;
        total += weight;
        let pooled = |map: &Tensor<4>| features::pooled_to(map.clone(), [level; 2]);
        sum = sum + error(pooled(&guided), pooled(&hint)) * weight;
    }
    sum / total
}

inventory::submit! {
    PluginEntry {
        name: NAME,
        summary: "late stages of the student reviewed by early ones of the teacher",
        paper: Paper {
            title: "Distilling Knowledge via Knowledge Review",
            authors: "Chen, Liu, Zhao, Jia",
            year: 2021,
            arxiv: "2104.09044",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "0 or more; a number or a schedule" },
            PluginOption { name: "width", doc: "channels of the fused maps" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(ReviewKd::new(parse_options(NAME, options)?)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{assert_agrees, assert_differs};
    use potstill_core::graph::infer;

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("reviewkd", "reviewkd_base.safetensors", "student_feat.0");
        assert_differs("reviewkd:weight=2", "reviewkd_base.safetensors");
    }

    #[test]
    fn every_part_has_the_shape_of_what_it_meets() {
        let dims = [1, 16, 8, 8];
        for (part, from, to) in [(ENTRANCE, 16, 32), (ATTENTION, 64, 2), (EXIT, 32, 48)] {
            let graph = module(part, "part", &[1, from, dims[2], dims[3]], to).unwrap();
            let facts = infer(&graph, 1).unwrap();
            assert_eq!(facts[&graph.outputs[0].name].dims, [1, to, 8, 8], "{part}");
        }
    }
}
