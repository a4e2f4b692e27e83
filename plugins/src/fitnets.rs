//! Hint-based training. A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio:
//! "FitNets: Hints for Thin Deep Nets", 2015 (arXiv 1412.6550), equations 3 and 4, algorithm 1.
//!
//! Stage 1 trains the student up to the guided value v_g and a regressor r on L_HT = ½ ‖u_h(x) −
//! r(v_g(x))‖², summed over the hint's map, averaged over the batch; u, r(v):
//! `[batch, channels, height, width]`. Stage 2 trains the whole student from there on CE(z_s, y) +
//! λ(t) T² KL(p_t^T ‖ p_s^T), λ from 4 down to 1. With `stages = joint` the hint's term stands
//! beside the others throughout, as later work has it.
//!
//! Departures: the paper writes the soft term as a cross-entropy without T²; here, as in every
//! method, it is KL with T². `reduction = mean` is what RepDistiller computes: no ½, the mean over
//! all elements. The regressor has no BatchNorm and no ReLU.

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use potstill_core::builder::GraphBuilder;
use potstill_core::graph::{Attribute, Graph, GraphError, Init, Role};
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Stage, Step, Term,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::pairs::{OneOrMany, check_lengths};

const HINT_STAGE: &str = "hint";
/// λ at the start and at the end of stage 2: section 3.1 of the paper.
const LAMBDA: (f64, f64) = (4.0, 1.0);

/// When the hint is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stages {
    /// Before everything else.
    Two,
    /// Beside everything else.
    Joint,
}

/// How the squared differences are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Half their sum over the map, averaged over the batch.
    Paper,
    /// Their mean.
    Mean,
}

options! {
    /// Hint-based training.
    pub struct FitNets for "fitnets", check FitNets::check_hints {
        /// value of the teacher, or a list of them
        hint: OneOrMany = OneOrMany::default();
        /// value of the student, one for each hint
        guided: OneOrMany = OneOrMany::default();
        /// two: first the hint, then the rest; joint: both at once
        stages: Stages = Stages::Two;
        /// paper: half the sum over the map; mean: the mean, as RepDistiller computes it
        reduction: Reduction = Reduction::Paper;
        /// length of the first stage
        hint_epochs: usize = 20;
        /// learning rate of the first stage, a number or a schedule; a sum over a map needs a small
        /// one
        hint_learning_rate: Schedule = Schedule::Constant(1e-4), in 0.0..;
        /// weight of the hint's term; a number or a schedule
        hint_weight: Schedule = Schedule::Constant(1.0), in 0.0..;
        /// T
        temperature: f64 = 3.0, in above(0.0);
        /// weight of the soft term; from 4 down to 1 over the main stage where not given
        lambda: Option<Schedule> = None, in 0.0..;
    }
}

/// How a regressor brings the guided map to the hint's extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Regressor {
    /// A convolution without padding, its kernel what the extents differ by and one more.
    Valid { kernel: [usize; 2] },
    /// 3 × 3 with stride 2, for a guided map twice as large.
    Halving,
    /// 4 × 4 transposed with stride 2, for a guided map half as large.
    Doubling,
    /// A linear layer between vectors.
    Linear,
}

impl Regressor {
    /// For values `[batch, channels, height, width]` or `[batch, features]`; `None` where none
    /// fits.
    fn new(guided: &[usize], hint: &[usize]) -> Option<Self> {
        match (guided, hint) {
            ([_, _], [_, _]) => Some(Regressor::Linear),
            ([_, _, gh, gw], [_, _, hh, hw]) => {
                if *gh == 2 * hh && *gw == 2 * hw {
                    Some(Regressor::Halving)
                } else if 2 * gh == *hh && 2 * gw == *hw {
                    Some(Regressor::Doubling)
                } else if gh >= hh && gw >= hw {
                    Some(Regressor::Valid {
                        kernel: [1 + gh - hh, 1 + gw - hw],
                    })
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn kernel(self) -> [usize; 2] {
        match self {
            Regressor::Valid { kernel } => kernel,
            Regressor::Halving => [3, 3],
            Regressor::Doubling => [4, 4],
            Regressor::Linear => [1, 1],
        }
    }

    /// The stride and the padding along both axes.
    fn step(self) -> (usize, usize) {
        match self {
            Regressor::Halving | Regressor::Doubling => (2, 1),
            Regressor::Valid { .. } | Regressor::Linear => (1, 0),
        }
    }

    /// As a network with one layer.
    fn graph(self, guided: &[usize], hint: &[usize]) -> Result<Graph, GraphError> {
        let mut b = GraphBuilder::new("fitnets.regressor", 0);
        let x = b.input("guided", &guided[1..]);
        let y = if self == Regressor::Linear {
            b.linear("regressor", &x, hint[1])?
        } else {
            let [height, width] = self.kernel();
            let (stride, pad) = self.step();
            let (from, to) = (guided[1], hint[1]);
            let (op, dims) = match self {
                Regressor::Doubling => ("ConvTranspose", [from, to, height, width]),
                _ => ("Conv", [to, from, height, width]),
            };
            let fan_in = from * height * width;
            let weight = b.tensor(
                "regressor.weight",
                Role::Weight,
                &dims,
                Init::LinearUniform { fan_in },
            );
            let bias = b.tensor("regressor.bias", Role::Weight, &[to], Init::Fill(0.0));
            let list = |value: usize, count: usize| Attribute::from(vec![value as i64; count]);
            let kernel = vec![height as i64, width as i64];
            b.node(
                "regressor",
                op,
                &[&x, &weight, &bias],
                [
                    ("kernel_shape", kernel.into()),
                    ("pads", list(pad, 4)),
                    ("strides", list(stride, 2)),
                ],
            )?
        };
        b.output("regressed", &y)?;
        b.finish()
    }

    /// The layer on recorded tensors.
    fn apply(self, x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
        let (stride, pad) = self.step();
        if self == Regressor::Doubling {
            let options = ConvTransposeOptions::new([stride; 2], [pad; 2], [0; 2], [1; 2], 1);
            return conv_transpose2d(x, weight, Some(bias), options);
        }
        let options = ConvOptions::new([stride; 2], [pad; 2], [1; 2], 1);
        conv2d(x, weight, Some(bias), options)
    }
}

fn auxiliary(pair: usize) -> String {
    format!("fitnets.regressor{pair}")
}

impl FitNets {
    /// Refuses another number of guided values than of hints, and a first stage without epochs.
    fn check_hints(&self) -> Result<(), PluginError> {
        if self.stages == Stages::Two && self.hint_epochs == 0 {
            return Err(PluginError::bad_value(
                Self::PLUGIN,
                "hint-epochs",
                0,
                "1 or more",
            ));
        }
        check_lengths(Self::PLUGIN, &self.hint.0, &self.guided.0)
    }

    /// L_HT of one pair.
    fn hint_loss<const D: usize>(&self, hint: Tensor<D>, regressed: Tensor<D>) -> Tensor<1> {
        let batch = hint.dims()[0].max(1) as f64;
        let squares = (hint - regressed).square();
        match self.reduction {
            Reduction::Paper => squares.sum() * (0.5 / batch),
            Reduction::Mean => squares.mean(),
        }
    }

    fn hint_terms(&self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut terms = Vec::new();
        for (pair, (hint, guided)) in self.hint.0.iter().zip(&self.guided.0).enumerate() {
            let guided = step.students[0].value(guided)?.clone();
            for teacher in step.teachers {
                let value = if guided.rank() == 2 {
                    let regressed = step.auxiliary_output::<2>(&auxiliary(pair), guided.clone())?;
                    self.hint_loss(teacher.tap::<2>(hint)?, regressed)
                } else {
                    let regressed = step.auxiliary_output::<4>(&auxiliary(pair), guided.clone())?;
                    self.hint_loss(teacher.tap::<4>(hint)?, regressed)
                };
                terms.push(Term {
                    name: "hint",
                    value,
                    weight: self.hint_weight.at(step.time.epoch) / step.teachers.len() as f64,
                });
            }
        }
        Ok(terms)
    }
}

impl Plugin for FitNets {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        if self.hint.0.is_empty() {
            return Err(PluginError::bad_value(
                Self::PLUGIN,
                "hint",
                "not given",
                "a value of the teacher, and `guided` one of the student (`potstill inspect FILE` and `potstill inspect ARCHITECTURE` list them)",
            ));
        }
        if plan.students.len() != 1 {
            return Err(PluginError::Students {
                got: plan.students.len(),
                expected: "one for plugin `fitnets`".to_owned(),
            });
        }
        plan.brings_task_term();
        for (pair, (hint, guided)) in self.hint.0.iter().zip(&self.guided.0).enumerate() {
            let from = plan.students[0].dims(guided)?;
            let mut regressor = None;
            for teacher in &plan.teachers {
                let to = teacher.dims(hint)?;
                let fits = Regressor::new(&from, &to).filter(|_| from.len() == to.len());
                let built = fits.ok_or_else(|| {
                    PluginError::bad_value(
                        Self::PLUGIN,
                        "guided",
                        format!("`{guided}` of shape {from:?}"),
                        &format!("a map not smaller than half of the hint `{hint}`, {to:?}"),
                    )
                })?;
                regressor.get_or_insert(built.graph(&from, &to)?);
            }
            if let Some(graph) = regressor {
                plan.add_auxiliary(&auxiliary(pair), graph);
            }
            if self.stages == Stages::Joint {
                plan.tap_teachers(hint)?;
                plan.tap_students(guided)?;
            }
        }
        if self.stages == Stages::Two {
            plan.add_stage(Stage {
                name: HINT_STAGE.to_owned(),
                plugin: Self::PLUGIN,
                epochs: self.hint_epochs,
                learning_rate: Some(self.hint_learning_rate.clone()),
                student_values: self.guided.0.clone(),
                teacher_values: self.hint.0.clone(),
            });
        }
        plan.declare_term(
            "hint",
            match self.reduction {
                Reduction::Paper => "½ ‖u_h(x) − r(v_g(x))‖²",
                Reduction::Mean => "mean (u_h(x) − r(v_g(x)))²",
            },
        );
        plan.declare_term("ce", "CE(z_s, y)");
        plan.declare_term("kd", "λ(t) · T² · KL(p_t^T ‖ p_s^T)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let hint = record.float::<4>("teacher_feat")?;
        let guided = record.float::<4>("student_feat")?;
        let weight = record.float::<4>("regressor.weight")?;
        let bias = record.float::<1>("regressor.bias")?;
        let refuse = |tensor: &str, got: String, expected: String| PluginError::RecordedShape {
            tensor: tensor.to_owned(),
            got,
            expected,
        };
        let (from, to) = (guided.dims(), hint.dims());
        let regressor = Regressor::new(&from, &to)
            .filter(|_| from[0] == to[0])
            .ok_or_else(|| {
                refuse(
                    "student_feat",
                    format!("{from:?}"),
                    format!("a map for the hint {to:?}"),
                )
            })?;
        let [height, width] = regressor.kernel();
        let expected = match regressor {
            Regressor::Doubling => [from[1], to[1], height, width],
            _ => [to[1], from[1], height, width],
        };
        if weight.dims() != expected {
            return Err(refuse(
                "regressor.weight",
                format!("{:?}", weight.dims()),
                format!("{expected:?}"),
            ));
        }
        if bias.dims() != [to[1]] {
            return Err(refuse(
                "regressor.bias",
                format!("{:?}", bias.dims()),
                format!("[{}]", to[1]),
            ));
        }
        Ok(vec![Term {
            name: "hint",
            value: self.hint_loss(hint, regressor.apply(guided, weight, bias)),
            weight: self.hint_weight.at(record.epoch()),
        }])
    }
}

impl Prepared for FitNets {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        if step.stage == Some(HINT_STAGE) {
            return self.hint_terms(step);
        }
        let student = step.students[0].logits()?;
        let temperature = self.temperature;
        let lambda = match &self.lambda {
            Some(lambda) => lambda.at(step.time.epoch),
            None => {
                let share = step.time.epoch / step.time.epochs.max(1) as f64;
                LAMBDA.0 + (LAMBDA.1 - LAMBDA.0) * share
            }
        };
        let mut terms = vec![Term {
            name: "ce",
            value: cross_entropy(student.clone(), step.labels.clone()),
            weight: 1.0,
        }];
        let teachers = step.teacher_logits()?;
        let count = teachers.len() as f64;
        terms.extend(teachers.into_iter().map(|teacher| Term {
            name: "kd",
            value: soft_target_loss(
                student.clone(),
                soft_targets(teacher, temperature, 0.0),
                temperature,
            ),
            weight: lambda / count,
        }));
        if self.stages == Stages::Joint {
            terms.extend(self.hint_terms(step)?);
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<FitNets>(
        "hints: an inner value of the student learns to predict one of the teacher, then soft targets",
        Paper {
            title: "FitNets: Hints for Thin Deep Nets",
            authors: "Romero, Ballas, Kahou, Chassang, Gatta, Bengio",
            year: 2015,
            arxiv: "1412.6550",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for (form, options) in [("half", ""), ("mean", ":reduction=mean")] {
            for geometry in ["equal", "stride2", "valid"] {
                let record = format!("fitnets_{geometry}_{form}.safetensors");
                assert_agrees(&format!("fitnets{options}"), &record, "regressor.weight");
            }
            let record = format!("fitnets_valid_{form}_rect.safetensors");
            assert_agrees(&format!("fitnets{options}"), &record, "student_feat");
        }
        assert_differs("fitnets:reduction=mean", "fitnets_equal_half.safetensors");
    }

    #[test]
    fn every_regressor_has_the_shape_of_the_hint() {
        use potstill_core::graph::infer;
        for (guided, hint) in [
            (vec![1, 5, 8, 8], vec![1, 7, 8, 8]),
            (vec![1, 5, 16, 16], vec![1, 7, 8, 8]),
            (vec![1, 5, 4, 4], vec![1, 7, 8, 8]),
            (vec![1, 5, 9, 11], vec![1, 7, 8, 8]),
            (vec![1, 5], vec![1, 7]),
        ] {
            let regressor = Regressor::new(&guided, &hint).unwrap();
            let graph = regressor.graph(&guided, &hint).unwrap();
            assert_eq!(infer(&graph, 1).unwrap()["regressed"].dims, hint, "{regressor:?}");
        }
        assert_eq!(Regressor::new(&[1, 5, 3, 3], &[1, 7, 8, 8]), None);
    }
}
