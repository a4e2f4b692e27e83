//! Relational knowledge distillation. W. Park, D. Kim, Y. Lu, M. Cho: "Relational Knowledge
//! Distillation", 2019 (arXiv 1904.05068), equations 5 to 10.
//!
//! L = λ_D Σ huber(ψ_D(s_i, s_j) − ψ_D(t_i, t_j)) + λ_A Σ huber(ψ_A(s_i, s_j, s_k) − ψ_A(t_i, t_j,
//! t_k)) over tuples of a batch of features `[batch, features]`: ψ_D the Euclidean distance over
//! the mean distance of the batch, ψ_A the cosine of the angle at the first of three, huber with δ
//! = 1.
//!
//! Departures: the paper's sums are means here, so that a weight does not depend on the batch: over
//! the tuples of distinct samples, or with `form = code`, as the authors' code and RepDistiller
//! have it, over all B² and B³ tuples, those that repeat a sample counting as 0.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::form::Form;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Relational knowledge distillation.
    pub struct Rkd for "rkd" {
        /// factor of both terms; a number or a schedule
        weight = 1.0;
        /// λ_D
        distance_weight: f64 = 25.0, in 0.0..;
        /// λ_A
        angle_weight: f64 = 50.0, in 0.0..;
        /// paper: means over tuples of distinct samples; code: over all tuples
        form: Form = Form::Paper;
    }
}

impl PairLoss<2> for Rkd {
    const FORMULA: &'static str = "λ_D · huber(ψ_D) + λ_A · huber(ψ_A)";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Features)
    }

    fn loss(&self, pairs: &[(Tensor<2>, Tensor<2>)]) -> Tensor<1> {
        features::summed_over(pairs, |guided, hint| {
            let batch = guided.dims()[0] as f64;
            let (pairs, triplets) = match self.form {
                Form::Paper => (batch * (batch - 1.0), batch * (batch - 1.0) * (batch - 2.0)),
                Form::Code => (batch.powi(2), batch.powi(3)),
            };
            let distances = huber(distances(&guided) - distances(&hint)).sum() / pairs.max(1.0);
            let angles = huber(angles(&guided) - angles(&hint)).sum() / triplets.max(1.0);
            distances * self.distance_weight + angles * self.angle_weight
        })
    }
}

/// x²/2 up to 1, then |x| − ½.
fn huber<const D: usize>(difference: Tensor<D>) -> Tensor<D> {
    let size = difference.abs();
    let near = size.clone().clamp_max(1.0);
    near.clone() * (size - near * 0.5)
}

/// ‖f_i − f_j‖ over the mean of those that are not 0, `[batch, batch]`.
fn distances(features: &Tensor<2>) -> Tensor<2> {
    let batch = features.dims()[0];
    let distinct =
        Tensor::<2>::ones([batch, batch], &features.device()) - Tensor::<2>::eye(batch, &features.device());
    let squares = differences(features).square().sum_dim(2).squeeze_dim::<2>(2);
    // A distance of 0 has no slope: the diagonal is left out of the root.
    let distances = squares.clamp_min(1e-12).sqrt() * distinct;
    let positive = distances.clone().greater_elem(1e-6).float();
    let mean = distances.clone().sum() / positive.sum().clamp_min(1.0);
    distances / mean.clamp_min(1e-12).unsqueeze::<2>()
}

/// f_j − f_i, `[batch (i), batch (j), features]`.
fn differences(features: &Tensor<2>) -> Tensor<3> {
    let rows = features.clone().unsqueeze_dim::<3>(0);
    rows - features.clone().unsqueeze_dim::<3>(1)
}

/// The cosine between f_j − f_i and f_k − f_i, `[batch (i), batch (j), batch (k)]`.
fn angles(features: &Tensor<2>) -> Tensor<3> {
    let directions = features::unit_rows(differences(features));
    directions.clone().matmul(directions.swap_dims(1, 2))
}

inventory::submit! {
    PluginEntry::new::<Comparing<Rkd, 2>>(
        "distances and angles between the pictures of a batch",
        Paper {
            title: "Relational Knowledge Distillation",
            authors: "Park, Kim, Lu, Cho",
            year: 2019,
            arxiv: "1904.05068",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("rkd:form=code", "rkd_base.safetensors", "student_feat");
        assert_differs("rkd", "rkd_base.safetensors");
        assert_differs("rkd:form=code,angle-weight=49", "rkd_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<2>("rkd", "rkd_base.safetensors", "student_feat");
    }
}
