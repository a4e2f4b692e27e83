//! Neuron selectivity transfer. Z. Huang, N. Wang: "Like What You Like: Knowledge Distill via
//! Neuron Selectivity Transfer", 2017 (arXiv 1707.01219), equation 7.
//!
//! The channels of a map, each flattened over its positions and divided by its 2-norm, are samples
//! of a distribution; student's and teacher's are brought together by the maximum mean discrepancy
//! with the kernel k(a, b) = (aᵀb)²: L = λ/2 Σ (mean k(t, t) + mean k(s, s) − 2 mean k(s, t)) over
//! the pairs of maps, averaged over the batch. `weight` is λ/2. Maps of different extents are
//! compared at the smaller ones; the numbers of channels need not agree.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Neuron selectivity transfer.
    pub struct Nst for "nst" {
        /// half of the λ of the paper; a number or a schedule
        weight = 50.0;
    }
}

impl PairLoss<4> for Nst {
    const FORMULA: &'static str = "λ/2 · Σ MMD²(f_s, f_t)";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Stages)
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        // [batch, channels, positions], of norm 1 along the positions.
        let samples = |map: Tensor<4>| features::unit_rows(map.flatten::<3>(2, 3));
        let kernel =
            |a: &Tensor<3>, b: &Tensor<3>| a.clone().matmul(b.clone().swap_dims(1, 2)).square().mean();
        features::summed_over(pairs, |guided, hint| {
            let (guided, hint) = features::pooled_alike(guided, hint);
            let (s, t) = (samples(guided), samples(hint));
            kernel(&t, &t) + kernel(&s, &s) - kernel(&s, &t) * 2.0
        })
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<Nst, 4>>(
        "the distribution of neuron activations over positions",
        Paper {
            title: "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
            authors: "Huang, Wang",
            year: 2017,
            arxiv: "1707.01219",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("nst:weight=1", "nst_base.safetensors", "student_feat.1");
        assert_differs("nst:weight=2", "nst_base.safetensors");
    }
}
