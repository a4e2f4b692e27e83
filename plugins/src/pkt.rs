//! Probabilistic knowledge transfer. N. Passalis, A. Tefas: "Learning Deep Representations with
//! Probabilistic Knowledge Transfer", 2018 (arXiv 1803.10837), equations 4 to 7 with the cosine
//! kernel.
//!
//! p (teacher) and q (student) are the rows of (cos(f_i, f_j) + 1) / 2 over a batch of features
//! `[batch, features]`, each divided by its sum. L = Σ_i Σ_{j≠i} p_{j|i} log(p_{j|i} / q_{j|i}).
//!
//! Departures: the sum is a mean here, so that the weight does not depend on the batch: over the
//! pairs of distinct pictures, or with `form = code`, as the authors' code has it, over all B²
//! pairs, a picture's similarity with itself among them. 1e-7 is added to both inside the
//! logarithm, as in the code.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::form::Form;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

/// What the reference code adds to norms and probabilities.
const EPSILON: f64 = 1e-7;

pair_options! {
    /// Probabilistic knowledge transfer.
    pub struct Pkt for "pkt" {
        /// factor of the mean; a number or a schedule
        weight = 30000.0;
        /// paper: pairs of distinct pictures; code: all pairs
        form: Form = Form::Paper;
    }
}

/// The conditional probabilities `[batch, batch]`; which entries count is 1 in `counted`.
fn probabilities(features: Tensor<2>, counted: &Tensor<2>) -> Tensor<2> {
    let norm = features.clone().square().sum_dim(1).clamp_min(1e-24).sqrt() + EPSILON;
    let directions = features / norm;
    let cosines = directions.clone().matmul(directions.transpose());
    let similarities = (cosines + 1.0) * 0.5 * counted.clone();
    let sum = similarities.clone().sum_dim(1).clamp_min(1e-12);
    similarities / sum
}

impl PairLoss<2> for Pkt {
    const FORMULA: &'static str = "w · mean p log(p / q)";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Features)
    }

    fn loss(&self, pairs: &[(Tensor<2>, Tensor<2>)]) -> Tensor<1> {
        features::summed_over(pairs, |guided, hint| {
            let (batch, device) = (guided.dims()[0], guided.device());
            let all = Tensor::<2>::ones([batch, batch], &device);
            let counted = match self.form {
                Form::Code => all,
                Form::Paper => all - Tensor::<2>::eye(batch, &device),
            };
            let (q, p) = (probabilities(guided, &counted), probabilities(hint, &counted));
            // p log((p + ε) / (q + ε)) summed, without the difference of nearly equal numbers that
            // the logarithm of a ratio near 1 is: the rows of p and q have the same sum.
            let change = (q - p.clone()) / (p.clone() + EPSILON);
            let terms = p * (change.clone() - change.clone().log1p()) + change * EPSILON;
            terms.sum() / counted.sum().clamp_min(1.0)
        })
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<Pkt, 2>>(
        "the probabilities with which pictures of a batch are neighbours",
        Paper {
            title: "Learning Deep Representations with Probabilistic Knowledge Transfer",
            authors: "Passalis, Tefas",
            year: 2018,
            arxiv: "1803.10837",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("pkt:form=code,weight=1", "pkt_base.safetensors", "student_feat");
        assert_differs("pkt:weight=1", "pkt_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<2>("pkt:weight=1", "pkt_base.safetensors", "student_feat");
    }
}
