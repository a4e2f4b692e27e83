//! Factor transfer. J. Kim, S. Park, N. Kwak: "Paraphrasing Complex Network: Network Compression
//! via Factor Transfer", 2018 (arXiv 1802.04977), equations 1 to 4.
//!
//! A paraphraser, a convolutional autoencoder, first learns factors F_t of the teacher's map
//! without labels (stage `ft-paraphraser`, mean (x − P(x))²); then a translator on the student's
//! map is to give the same factors: L = ‖F_t/‖F_t‖₂ − F_s/‖F_s‖₂‖_p^p, each picture's factors
//! flattened whole, averaged over elements and batch. Paraphraser and translator are three 3 × 3
//! convolutions with BatchNorm and leaky ReLU of slope 0.1; the factors have `rate` times the
//! channels of the teacher's map.
//!
//! Departures: the norm is a mean over elements, as in records. `form = code` is RepDistiller's
//! loss, which collapses the channels first, as attention transfer does: Q = mean_c F². The
//! paraphraser's BatchNorm keeps on using the batch's statistics in the main stage; its weights
//! stay as they are.

use burn::tensor::Tensor;
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::graph::{Graph, GraphError};
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Stage, Step, Term,
};

use crate::features;
use crate::form::Form;
use crate::pairs::{OnPairs, PairOptions, Pairs, Suggestion, pair_options};

pair_options! {
    /// Factor transfer.
    pub struct Ft for "ft" {
        /// β; a number or a schedule
        weight = 500.0;
        /// p
        power: u32 = 1, in 1..=2;
        /// channels of the factors over those of the map of the teacher
        rate: f64 = 0.5, in above(0.0);
        /// length of the stage in which the paraphraser learns
        paraphraser_epochs: usize = 10;
        /// paper: factors; code: their squares averaged over channels
        form: Form = Form::Paper;
    }
}

impl Ft {
    fn compared(&self, factors: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        features::summed_over(factors, |guided, hint| {
            let (guided, hint) = features::pooled_alike(guided, hint);
            let rows = |factors: Tensor<4>| {
                let factors = match self.form {
                    Form::Paper => factors,
                    Form::Code => factors.square().mean_dim(1),
                };
                features::unit_rows(factors.flatten::<2>(1, 3))
            };
            let difference = (rows(guided) - rows(hint)).abs();
            difference.powi_scalar(self.power as i32).mean()
        })
    }
}

impl Plugin for Ft {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::LastStage).prepare::<4>(plan)?;
        for (student, place, pair) in pairs.each() {
            let factors = (pair.to[1] as f64 * self.rate).round().max(1.0) as usize;
            let name = auxiliary(TRANSLATOR, student, place);
            plan.add_auxiliary(&name, translator(&name, &pair.from, factors)?);
            // Students of one kind of teacher's map share its paraphraser.
            if student == 0 {
                let name = auxiliary(PARAPHRASER, student, place);
                plan.add_auxiliary(&name, paraphraser(&name, &pair.to, factors)?);
            }
        }
        if self.paraphraser_epochs > 0 {
            plan.add_stage(Stage {
                name: STAGE.to_owned(),
                plugin: Self::PLUGIN,
                epochs: self.paraphraser_epochs,
                learning_rate: None,
                student_values: Vec::new(),
                teacher_values: pairs.of(0).iter().map(|pair| pair.hint.clone()).collect(),
            });
        }
        plan.declare_term(PARAPHRASER, "(t − P(t))²");
        plan.declare_term(Self::PLUGIN, "β · |F_t/‖F_t‖ − F_s/‖F_s‖|^p");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let ours = record.float::<4>("student_factor")?;
        let theirs = record.float_like("teacher_factor", &ours)?;
        Ok(vec![self.recorded_term(self.compared(&[(ours, theirs)]), record)])
    }
}

impl Prepared for OnPairs<Ft> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        if step.stage == Some(STAGE) {
            return self.paraphrased(step);
        }
        let method = &self.method;
        self.pairs.terms::<4>(step, &method.weight, |student, pairs| {
            let mut factors = Vec::new();
            for (place, (guided, hint)) in pairs.iter().enumerate() {
                let translator = auxiliary(TRANSLATOR, student, place);
                let ours = step.auxiliary_output::<4>(&translator, guided.clone().into())?;
                let paraphraser = step.auxiliary(&auxiliary(PARAPHRASER, 0, place), hint.clone().into())?;
                factors.push((ours, paraphraser.float::<4>(FACTORS)?.detach()));
            }
            Ok(method.compared(&factors))
        })
    }
}

impl OnPairs<Ft> {
    /// mean (t − P(t))² of each teacher's map.
    fn paraphrased(&self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for teacher in step.teachers {
            for (place, pair) in self.pairs.of(0).iter().enumerate() {
                let hint = teacher.tap::<4>(&pair.hint)?;
                let outputs = step.auxiliary(&auxiliary(PARAPHRASER, 0, place), hint.clone().into())?;
                losses.push((outputs.float::<4>(AGAIN)? - hint).square().mean());
            }
        }
        Ok(vec![Term {
            name: PARAPHRASER,
            value: features::summed(losses),
            weight: 1.0,
        }])
    }
}

const STAGE: &str = "ft-paraphraser";
const PARAPHRASER: &str = "paraphraser";
const TRANSLATOR: &str = "translator";
const FACTORS: &str = "factors";
const AGAIN: &str = "again";
/// Slope of the leaky ReLU below 0.
const SLOPE: f32 = 0.1;

fn auxiliary(part: &str, student: usize, place: usize) -> String {
    format!("ft.{part}{student}.{place}")
}

/// Three 3 × 3 convolutions with BatchNorm and leaky ReLU, their widths given.
fn convolutions(b: &mut GraphBuilder, name: &str, x: &str, widths: [usize; 3]) -> Result<String, GraphError> {
    let mut x = x.to_owned();
    for (layer, width) in widths.into_iter().enumerate() {
        let part = |what: &str| format!("{name}.{what}{layer}");
        x = b.conv(&part("conv"), &x, Conv::same(width, 3))?;
        x = b.batch_norm(&part("norm"), &x)?;
        x = b.node(&part("relu"), "LeakyRelu", &[&x], [("alpha", SLOPE.into())])?;
    }
    Ok(x)
}

/// A translator of maps of the shape `dims` to this many factors.
fn translator(name: &str, dims: &[usize], factors: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let x = b.input("guided", &dims[1..]);
    let y = convolutions(&mut b, "translator", &x, [dims[1], factors, factors])?;
    b.output(FACTORS, &y)?;
    b.finish()
}

/// An autoencoder of maps of the shape `dims` with two outputs, factors and the map again.
fn paraphraser(name: &str, dims: &[usize], factors: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let x = b.input("hint", &dims[1..]);
    let y = convolutions(&mut b, "encoder", &x, [dims[1], factors, factors])?;
    let again = convolutions(&mut b, "decoder", &y, [factors, dims[1], dims[1]])?;
    b.output(FACTORS, &y)?;
    b.output(AGAIN, &again)?;
    b.finish()
}

inventory::submit! {
    PluginEntry::new::<Ft>(
        "factors of the teacher's map, which an autoencoder finds",
        Paper {
            title: "Paraphrasing Complex Network: Network Compression via Factor Transfer",
            authors: "Kim, Park, Kwak",
            year: 2018,
            arxiv: "1802.04977",
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
        assert_agrees("ft:weight=1", "ft_paper_p1.safetensors", "student_factor");
        assert_agrees("ft:form=code,weight=1", "ft_repo.safetensors", "student_factor");
        assert_differs("ft:weight=1,power=2", "ft_paper_p1.safetensors");
    }

    #[test]
    fn a_paraphraser_gives_factors_and_the_map_again() {
        let graph = paraphraser("paraphraser", &[1, 16, 8, 8], 8).unwrap();
        let facts = infer(&graph, 2).unwrap();
        assert_eq!(facts[FACTORS].dims, [2, 8, 8, 8]);
        assert_eq!(facts[AGAIN].dims, [2, 16, 8, 8]);
    }
}
