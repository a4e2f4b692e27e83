//! Flow of the solution procedure. J. Yim, D. Joo, J. Bae, J. Kim: "A Gift from Knowledge
//! Distillation: Fast Optimization, Network Minimization and Transfer Learning", 2017 (CVPR),
//! equations 1 and 2.
//!
//! G `[channels of f₁, channels of f₂]` between two maps of a network, one after the other: G_cd =
//! 1/(h w) Σ_hw f₁_c f₂_d. L = 1/B Σ_b Σ_i ‖G_t − G_s‖² over the neighbouring maps.
//!
//! Departures: the paper learns G first, in a stage of its own, and the classes after that; here
//! the term stands beside the others, unless `init-epochs` says how long such a stage is. Where two
//! maps differ in extents the larger is averaged; the paper takes maxima. `form = code` takes the
//! mean over the entries of G, as RepDistiller does.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::form::Form;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// The flow of the solution procedure.
    pub struct Fsp for "fsp" {
        /// λ; a number or a schedule
        weight = 1.0;
        /// paper: sum over the entries of a matrix; code: their mean
        form: Form = Form::Paper;
        /// length of a stage before the main one with this term alone; 0: beside the others
        /// throughout
        init_epochs: usize = 0;
    }
}

/// G of two maps of one network, `[batch, channels of the first, channels of the second]`.
fn flow(first: &Tensor<4>, second: &Tensor<4>) -> Tensor<3> {
    let (first, second) = features::pooled_alike(first.clone(), second.clone());
    let [_, _, height, width] = first.dims();
    let (first, second) = (first.flatten::<3>(2, 3), second.flatten::<3>(2, 3));
    first.matmul(second.swap_dims(1, 2)) / (height * width).max(1) as f64
}

impl PairLoss<4> for Fsp {
    const FORMULA: &'static str = "λ · Σ ‖G_t − G_s‖²";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Stages)
            .of_same_channels()
            .before_the_rest(self.init_epochs)
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        features::summed(pairs.windows(2).map(|window| {
            let (first, second) = (&window[0], &window[1]);
            let difference = flow(&first.0, &second.0) - flow(&first.1, &second.1);
            let [batch, ..] = difference.dims();
            let squares = difference.square();
            match self.form {
                Form::Paper => squares.sum() / batch.max(1) as f64,
                Form::Code => squares.mean(),
            }
        }))
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<Fsp, 4>>(
        "how each map of a network follows from the one before",
        Paper {
            title: "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning",
            authors: "Yim, Joo, Bae, Kim",
            year: 2017,
            arxiv: "",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("fsp:form=code", "fsp_base.safetensors", "student_feat.1");
        assert_differs("fsp", "fsp_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<4>("fsp", "fsp_base.safetensors", "student_feat.1");
    }
}
