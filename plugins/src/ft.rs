//! Factor transfer. J. Kim, S. Park, N. Kwak: "Paraphrasing Complex Network: Network Compression via Factor Transfer", 2018 (arXiv 1802.04977),
//! equations 1 to 4.
//!
//! A paraphraser, a convolutional autoencoder, first learns factors F_t of the teacher's map without labels (stage `ft-paraphraser`, mean (x −
//! P(x))²); then a translator on the student's map is to give the same factors: L = ‖F_t/‖F_t‖₂ − F_s/‖F_s‖₂‖_p^p, each picture's factors flattened
//! whole, averaged over elements and batch. Paraphraser and translator are three 3 × 3 convolutions with BatchNorm and leaky ReLU of slope 0.1; the
//! factors have `rate` times the channels of the teacher's map.
//!
//! Departures: the norm is a mean over elements, as in records. `form = code` is RepDistiller's loss, which collapses the channels first, as
//! attention transfer does: Q = mean_c F². The paraphraser's BatchNorm keeps on using the batch's statistics in the main stage; its weights stay as
//! they are.

use burn::tensor::Tensor;
use potstill_core::graph::{Conv, Graph, GraphBuilder, GraphError};
use potstill_core::plugin::{
    Paper, Plan, Plugin, PluginEntry, PluginError, PluginOption, Prepared, Recorded, Stage, Step, Term,
    parse_options,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::features;
use crate::pairs::{self, OnPairs, Pairs, Suggestion};

const NAME: &str = "ft";

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
    /// β.
    pub weight: Schedule,
    /// p, 1 or 2.
    pub power: u32,
    /// Channels of the factors over those of the map of the teacher, above 0.
    pub rate: f64,
    /// Length of the paraphraser's stage.
    pub paraphraser_epochs: usize,
    /// Whose loss.
    pub form: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hint: Vec::new(),
            guided: Vec::new(),
            weight: Schedule::Constant(500.0),
            power: 1,
            rate: 0.5,
            paraphraser_epochs: 10,
            form: Form::Paper,
        }
    }
}

/// The method with a checked configuration.
#[derive(Clone, Debug)]
pub struct Ft {
    config: Config,
    pairs: Pairs,
}

impl Ft {
    /// Checks the ranges of a configuration.
    ///
    /// # Errors
    /// Lists of different lengths, a value outside its range.
    pub fn new(config: Config) -> Result<Self, PluginError> {
        pairs::check_weight(NAME, &config.weight)?;
        if !(1..=2).contains(&config.power) {
            return Err(PluginError::bad_value(NAME, "power", config.power, "1 or 2"));
        }
        if !(config.rate.is_finite() && config.rate > 0.0) {
            return Err(PluginError::bad_value(
                NAME,
                "rate",
                config.rate,
                "a number above 0",
            ));
        }
        let pairs = Pairs::new(NAME, &config.hint, &config.guided, Suggestion::LastStage)?;
        Ok(Self { config, pairs })
    }

    fn compared(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        features::summed(pairs.iter().map(|(guided, hint)| {
            let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
            let rows = |factors: Tensor<4>| {
                let factors = match self.config.form {
                    Form::Paper => factors,
                    Form::Code => factors.square().mean_dim(1),
                };
                features::unit_rows(factors.flatten::<2>(1, 3))
            };
            let difference = (rows(guided) - rows(hint)).abs();
            difference.powi_scalar(self.config.power as i32).mean()
        }))
    }
}

impl Plugin for Ft {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = self.pairs.prepare(plan)?;
        pairs::require_maps(NAME, pairs.chosen(), false)?;
        for (student, pairs) in pairs.chosen().iter().enumerate() {
            for (place, pair) in pairs.iter().enumerate() {
                let factors = (pair.to[1] as f64 * self.config.rate).round().max(1.0) as usize;
                let name = auxiliary(TRANSLATOR, student, place);
                plan.add_auxiliary(&name, translator(&name, &pair.from, factors)?);
                // Students of one kind of teacher's map share its paraphraser.
                if student == 0 {
                    let name = auxiliary(PARAPHRASER, student, place);
                    plan.add_auxiliary(&name, paraphraser(&name, &pair.to, factors)?);
                }
            }
        }
        if let (Some(first), true) = (pairs.chosen().first(), self.config.paraphraser_epochs > 0) {
            plan.add_stage(Stage {
                name: STAGE.to_owned(),
                plugin: NAME,
                epochs: self.config.paraphraser_epochs,
                learning_rate: None,
                student_values: Vec::new(),
                teacher_values: first.iter().map(|pair| pair.hint.clone()).collect(),
            });
        }
        plan.declare_term(PARAPHRASER, "(t − P(t))²");
        plan.declare_term(NAME, "β · |F_t/‖F_t‖ − F_s/‖F_s‖|^p");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let ours = record.float::<4>("student_factor")?;
        let theirs = record.float_like("teacher_factor", &ours)?;
        Ok(vec![Term {
            name: NAME,
            value: self.compared(&[(ours, theirs)]),
            weight: self.config.weight.at(record.epoch()),
        }])
    }
}

impl Prepared for OnPairs<Ft> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        if step.stage == Some(STAGE) {
            return self.paraphrased(step);
        }
        self.pairs
            .terms::<4>(step, &self.method.config.weight, |student, pairs| {
                let mut factors = Vec::new();
                for (place, (guided, hint)) in pairs.iter().enumerate() {
                    let translator = auxiliary(TRANSLATOR, student, place);
                    let ours = step.auxiliary_output::<4>(&translator, guided.clone().into())?;
                    let paraphraser =
                        step.auxiliary(&auxiliary(PARAPHRASER, 0, place), hint.clone().into())?;
                    factors.push((ours, paraphraser.float::<4>(FACTORS)?.detach()));
                }
                Ok(self.method.compared(&factors))
            })
    }
}

impl OnPairs<Ft> {
    /// mean (t − P(t))² of each teacher's map.
    fn paraphrased(&self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for teacher in step.teachers {
            for (place, hint) in self.pairs.hints(0).into_iter().enumerate() {
                let hint = teacher.tap::<4>(&hint)?;
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
    PluginEntry {
        name: NAME,
        summary: "factors of the teacher's map, which an autoencoder finds",
        paper: Paper {
            title: "Paraphrasing Complex Network: Network Compression via Factor Transfer",
            authors: "Kim, Park, Kwak",
            year: 2018,
            arxiv: "1802.04977",
        },
        options: &[
            pairs::HINT,
            pairs::GUIDED,
            PluginOption { name: "weight", doc: "β, 0 or more; a number or a schedule" },
            PluginOption { name: "power", doc: "p, 1 or 2" },
            PluginOption { name: "rate", doc: "channels of the factors over those of the map of the teacher" },
            PluginOption { name: "paraphraser-epochs", doc: "length of the stage in which the paraphraser learns" },
            PluginOption { name: "form", doc: "paper: factors; code: their squares averaged over channels" },
        ],
        defaults: || Table::try_from(Config::default()).unwrap_or_default(),
        build: |options| Ok(Box::new(Ft::new(parse_options(NAME, options)?)?)),
    }
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
