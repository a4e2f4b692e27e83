//! Activation boundaries. B. Heo, M. Lee, S. Yun, J. Y. Choi: "Knowledge Transfer via Distillation
//! of Activation Boundaries Formed by Hidden Neurons", 2019 (arXiv 1811.03233), equations 6 and 8.
//!
//! On values before their ReLU, s (student, after a connector: 1 × 1 convolution and BatchNorm) and
//! t: L = ‖1(t > 0) ⊙ σ(μ − s) + 1(t ≤ 0) ⊙ σ(μ + s)‖²₂, σ the ReLU, μ a margin: the student's
//! neurons are to be active where the teacher's are, whatever their value. Averaged over the batch,
//! summed over the pairs of maps.
//!
//! Departures: the paper initialises the student with this loss and trains on the classes after
//! that: `init-epochs` is the length of that stage, and 0 puts the term beside the others.
//! `form = code`, the default, has the authors' factors: 3/1000 for all, and ½ for each map before
//! the last; the bare sum of the paper diverges at the learning rates that the rest is trained
//! with. Maps of different extents are averaged to the smaller ones.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::form::Form;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Distillation of activation boundaries.
    pub struct Ab for "ab" {
        /// factor of the term; a number or a schedule
        weight = 1.0;
        /// μ
        margin: f64 = 1.0, in above(0.0);
        /// paper: the squared norm; code: 3/1000 of it, and half for each map before the last
        form: Form = Form::Code;
        /// length of a stage before the main one with this term alone; 0: beside the others
        /// throughout
        init_epochs: usize = 10;
    }
}

impl PairLoss<4> for Ab {
    const FORMULA: &'static str = "w · Σ ‖boundary(t, s)‖²";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::BeforeActivation)
            .connected()
            .before_the_rest(self.init_epochs)
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let last = pairs.len().saturating_sub(1);
        features::summed(pairs.iter().enumerate().map(|(place, (guided, hint))| {
            let (guided, hint) = features::pooled_alike(guided.clone(), hint.clone());
            let active = hint.greater_elem(0.0).float();
            let below = relu(-guided.clone() + self.margin) * active.clone();
            let above = relu(guided.clone() + self.margin) * (-active + 1.0);
            let batch = guided.dims()[0].max(1) as f64;
            let factor = match self.form {
                Form::Paper => 1.0,
                Form::Code => 3e-3 * 0.5_f64.powi((last - place) as i32),
            };
            (below + above).square().sum() * (factor / batch)
        }))
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<Ab, 4>>(
        "where the neurons of the teacher turn active",
        Paper {
            title: "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons",
            authors: "Heo, Lee, Yun, Choi",
            year: 2019,
            arxiv: "1811.03233",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("ab:form=code", "ab_base.safetensors", "student_feat.0");
        assert_differs("ab:form=code,margin=2", "ab_base.safetensors");
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        assert_slopes::<4>("ab:form=paper", "ab_base.safetensors", "student_feat.1");
    }
}
