//! Similarity-preserving distillation. F. Tung, G. Mori: "Similarity-Preserving Knowledge
//! Distillation", 2019 (arXiv 1907.09682), equations 1 to 4.
//!
//! G = Q Qᵀ `[batch, batch]`, Q a map flattened to `[batch, elements]`, each row of G divided by
//! its 2-norm. L = γ/B² Σ ‖G_t − G_s‖²_F over the pairs of maps. Pictures that the teacher finds
//! alike are to be alike for the student; extents and channels need not agree.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Similarity-preserving distillation.
    pub struct Sp for "sp" {
        /// γ; a number or a schedule
        weight = 3000.0;
    }
}

impl PairLoss<4> for Sp {
    const FORMULA: &'static str = "γ/B² · Σ ‖G_t − G_s‖²";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::LastStage)
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let similarities = |map: Tensor<4>| {
            let rows = map.flatten::<2>(1, 3);
            features::unit_rows(rows.clone().matmul(rows.transpose()))
        };
        features::summed_over(pairs, |guided, hint| {
            (similarities(hint) - similarities(guided)).square().mean()
        })
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<Sp, 4>>(
        "which pictures of a batch the teacher finds alike",
        Paper {
            title: "Similarity-Preserving Knowledge Distillation",
            authors: "Tung, Mori",
            year: 2019,
            arxiv: "1907.09682",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("sp:weight=1", "sp_one.safetensors", "student_feat.0");
        assert_differs("sp:weight=2", "sp_one.safetensors");
    }
}
