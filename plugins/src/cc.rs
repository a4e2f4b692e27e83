//! Correlation congruence. B. Peng, X. Jin, J. Liu, S. Zhou, Y. Wu, Y. Liu, D. Li, Z. Zhang:
//! "Correlation Congruence for Knowledge Distillation", 2019 (arXiv 1904.01802), equations 6 to 9.
//!
//! C `[batch, batch]` holds a Gaussian kernel between the features f of each two pictures, by its
//! Taylor series of order P on features of norm 1: C_ij = Σ_p exp(−2γ) (2γ)^p / p! (f_i · f_j)^p. L
//! = 1/B² ‖C_t − C_s‖²_F.
//!
//! Departures: `form = code` is RepDistiller's loss, which is another one: features are embedded by
//! a linear layer on each side, which trains, and the absolute differences between student and
//! teacher of neighbouring pictures of the batch are multiplied: 1/(B − 1) Σ_i Σ_d |d_i| |d_{i+1}|.

use burn::tensor::Tensor;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

use crate::features;
use crate::form::Form;
use crate::layers::{self, linear};
use crate::pairs::{self, OnPairs, PairOptions, Pairs, Suggestion, pair_options};

pair_options! {
    /// Correlation congruence.
    pub struct Cc for "cc" {
        /// β; a number or a schedule
        weight = 0.02;
        /// γ of the kernel
        gamma: f64 = 0.4, in above(0.0);
        /// order of the series of the kernel
        order: u32 = 2;
        /// features of the embeddings of form=code
        embedding: usize = 128, in 1..;
        /// paper: kernels between pictures; code: products of neighbouring differences
        form: Form = Form::Paper;
    }
}

impl Cc {
    /// C, `[batch, batch]`.
    fn kernel(&self, features: Tensor<2>) -> Tensor<2> {
        let rows = features::unit_rows(features);
        let cosines = rows.clone().matmul(rows.transpose());
        let mut factor = (-2.0 * self.gamma).exp();
        let mut power = cosines.ones_like();
        let mut sum = power.clone() * factor;
        for order in 1..=self.order {
            factor *= 2.0 * self.gamma / f64::from(order);
            power = power * cosines.clone();
            sum = sum + power.clone() * factor;
        }
        sum
    }

    fn congruence(&self, guided: Tensor<2>, hint: Tensor<2>) -> Tensor<1> {
        (self.kernel(hint) - self.kernel(guided)).square().mean()
    }
}

impl Plugin for Cc {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::Features).prepare::<2>(plan)?;
        if self.form == Form::Code {
            for (student, place, pair) in pairs.each() {
                for (side, from) in [(STUDENT, pair.from[1]), (TEACHER, pair.to[1])] {
                    let name = embedding(side, student, place);
                    plan.add_auxiliary(&name, linear(&name, from, self.embedding)?);
                }
            }
        }
        plan.declare_term(Self::PLUGIN, "β · 1/B² · ‖C_t − C_s‖²");
        Ok(Box::new(OnPairs {
            method: self.clone(),
            pairs,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let mut losses = Vec::new();
        for (guided, hint) in pairs::recorded::<2>(record)? {
            losses.push(match self.form {
                Form::Paper => self.congruence(guided, hint),
                Form::Code => neighbours(
                    layers::recorded_linear(record, "embed_s", guided)?,
                    layers::recorded_linear(record, "embed_t", hint)?,
                ),
            });
        }
        Ok(vec![self.recorded_term(features::summed(losses), record)])
    }
}

impl Prepared for OnPairs<Cc> {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let method = &self.method;
        self.pairs.terms::<2>(step, &method.weight, |student, pairs| {
            let mut losses = Vec::new();
            for (place, (guided, hint)) in pairs.iter().cloned().enumerate() {
                let embed = |side, features: Tensor<2>| {
                    step.auxiliary_output::<2>(&embedding(side, student, place), features.into())
                };
                losses.push(match method.form {
                    Form::Paper => method.congruence(guided, hint),
                    Form::Code => neighbours(embed(STUDENT, guided)?, embed(TEACHER, hint)?),
                });
            }
            Ok(features::summed(losses))
        })
    }
}

/// 1/(B − 1) Σ_i Σ_d |d_i| |d_{i+1}| of the differences of two embeddings `[batch, features]`; 0
/// for a single picture.
fn neighbours(guided: Tensor<2>, hint: Tensor<2>) -> Tensor<1> {
    let differences = (guided - hint).abs();
    let pairs = differences.dims()[0].saturating_sub(1);
    if pairs == 0 {
        return differences.sum() * 0.0;
    }
    let (before, after) = (
        differences.clone().narrow(0, 0, pairs),
        differences.narrow(0, 1, pairs),
    );
    (before * after).sum() / pairs as f64
}

const STUDENT: &str = "student";
const TEACHER: &str = "teacher";

fn embedding(side: &str, student: usize, place: usize) -> String {
    format!("cc.{side}{student}.{place}")
}

inventory::submit! {
    PluginEntry::new::<Cc>(
        "how the pictures of a batch correlate",
        Paper {
            title: "Correlation Congruence for Knowledge Distillation",
            authors: "Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang",
            year: 2019,
            arxiv: "1904.01802",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("cc:weight=1", "cc_paper.safetensors", "student_feat");
        assert_differs("cc:weight=1,order=3", "cc_paper.safetensors");
        assert_agrees("cc:form=code,weight=1", "cc_repo.safetensors", "embed_t.weight");
        assert_differs("cc:weight=1", "cc_repo.safetensors");
    }
}
