//! Attention transfer. S. Zagoruyko, N. Komodakis: "Paying More Attention to Attention", 2017
//! (arXiv 1612.03928), equation 2.
//!
//! Q = Σ_c |f_c|^p, flattened over the positions of a map f: `[batch, channels, height, width]`,
//! and divided by its 2-norm. L = (β/2) Σ_j ‖Q_s − Q_t‖₂ over the pairs of maps, averaged over the
//! batch; the paper sets β to 1000 over the number of positions, which `weight` leaves to this
//! file.
//!
//! Departures: `form = code` is what the authors' code and RepDistiller compute, the mean of the
//! squared differences, without β/2, and with f^p in place of |f|^p. Maps of different extents are
//! compared at the smaller ones.

use burn::tensor::Tensor;
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::form::Form;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Attention transfer.
    pub struct At for "at" {
        /// β times the number of positions; a number or a schedule
        weight = 1000.0;
        /// p
        power: u32 = 2, in 1..;
        /// paper: half the norm of the difference over the positions; code: the mean of its squares
        form: Form = Form::Paper;
    }
}

impl At {
    /// Q over its norm, `[batch, positions]`.
    fn attention(&self, map: Tensor<4>) -> Tensor<2> {
        let map = match self.form {
            Form::Paper if self.power % 2 == 1 => map.abs(),
            _ => map,
        };
        features::unit_rows(map.powi_scalar(self.power as i32).sum_dim(1).flatten::<2>(1, 3))
    }
}

impl PairLoss<4> for At {
    const FORMULA: &'static str = "β/2 · Σ_j ‖Q_s/‖Q_s‖ − Q_t/‖Q_t‖‖";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Stages)
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        features::summed_over(pairs, |guided, hint| {
            let (guided, hint) = features::pooled_alike(guided, hint);
            let squares = (self.attention(guided) - self.attention(hint)).square();
            if self.form == Form::Code {
                return squares.mean();
            }
            let positions = squares.dims()[1].max(1) as f64;
            // The root's slope at 0 has no bound.
            squares.sum_dim(1).clamp_min(1e-12).sqrt().mean() / (2.0 * positions)
        })
    }
}

inventory::submit! {
    PluginEntry::new::<Comparing<At, 4>>(
        "attention maps: where the teacher looks",
        Paper {
            title: "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer",
            authors: "Zagoruyko, Komodakis",
            year: 2017,
            arxiv: "1612.03928",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs, assert_slopes};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for record in ["at_p2", "at_p2_pool"] {
            let record = format!("{record}.safetensors");
            assert_agrees("at:form=code,weight=1", &record, "student_feat.0");
            assert_differs("at:weight=1", &record);
            assert_differs("at:form=code,weight=1,power=3", &record);
        }
    }

    #[test]
    fn the_papers_form_has_the_gradients_of_its_value() {
        for power in [2, 3] {
            assert_slopes::<4>(
                &format!("at:weight=1,power={power}"),
                "at_p2.safetensors",
                "student_feat.0",
            );
        }
    }
}
