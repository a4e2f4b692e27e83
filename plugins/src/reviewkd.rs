//! Knowledge review. P. Chen, S. Liu, H. Zhao, J. Jia: "Distilling Knowledge via Knowledge Review",
//! 2021 (arXiv 2104.09044), equations 5 and 6, figure 3.
//!
//! Going from the deepest stage to the shallowest, an attention module fuses the student's map of a
//! stage with what was fused so far, and a convolution brings the result to the teacher's map of
//! that stage, so that the teacher's early stages also teach the student's late ones. With HCL the
//! hierarchical context loss, Σ_l w_l mse(pool_l(s), pool_l(t)) / Σ_l w_l over the full map (w = 1)
//! and its averages of 4 × 4, 2 × 2 and 1 pixels (w halved each time, levels not smaller than the
//! map left out): L = Σ_i HCL(fused_i, t_i).
//!
//! Departures: the halving weights come from the authors' code; its additional pair, the pooled
//! features, is left out. The authors raise the weight over the first epochs:
//! `weight = "linear(0, 1, 20)"`.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::graph::{Graph, GraphError};
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

use crate::features;
use crate::pairs::{self, OnPairs, PairOptions, Pairs, Suggestion, pair_options};

pair_options! {
    /// Knowledge review.
    pub struct ReviewKd for "reviewkd" {
        /// factor of the term; a number or a schedule
        weight = 1.0;
        /// channels of the fused maps
        width: usize = 64, in 1..;
    }
}

impl Plugin for ReviewKd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::Stages).prepare::<4>(plan)?;
        for (student, place, pair) in pairs.each() {
            let mut add = |part, from, to| -> Result<(), PluginError> {
                let name = auxiliary(part, student, place);
                let mut dims = pair.from.clone();
                dims[1] = from;
                plan.add_auxiliary(&name, module(part, &name, &dims, to)?);
                Ok(())
            };
            add(ENTRANCE, pair.from[1], self.width)?;
            if place + 1 < pairs.of(student).len() {
                add(ATTENTION, 2 * self.width, 2)?;
            }
            add(EXIT, self.width, pair.to[1])?;
        }
        plan.declare_term(Self::PLUGIN, "w · Σ HCL(fused_i, t_i)");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let loss = compared(&pairs::recorded(record)?);
        Ok(vec![self.recorded_term(loss, record)])
    }
}

impl Prepared for OnPairs<ReviewKd> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs.terms(step, &self.method.weight, |student, pairs| {
            Ok(compared(&fused(step, student, pairs)?))
        })
    }
}

/// What the student's maps become before they are compared, from the shallowest on.
fn fused(
    step: &Step<'_>,
    student: usize,
    pairs: &[(Tensor<4>, Tensor<4>)],
) -> Result<Vec<(Tensor<4>, Tensor<4>)>, PluginError> {
    let mut above: Option<Tensor<4>> = None;
    let mut fused = Vec::new();
    for (place, (guided, hint)) in pairs.iter().enumerate().rev() {
        let run = |part, x: Tensor<4>| step.auxiliary_output::<4>(&auxiliary(part, student, place), x.into());
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
/// Σ_i HCL(s_i, t_i).
fn compared(pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
    features::summed_over(pairs, |guided, hint| {
        let (guided, hint) = features::pooled_alike(guided, hint);
        context_loss(guided, hint)
    })
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
    PluginEntry::new::<ReviewKd>(
        "late stages of the student reviewed by early ones of the teacher",
        Paper {
            title: "Distilling Knowledge via Knowledge Review",
            authors: "Chen, Liu, Zhao, Jia",
            year: 2021,
            arxiv: "2104.09044",
        },
    )
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
