//! The loss functions that training and most methods share; each method's own stand in its plugin.
//!
//! All return one number, averaged over the batch, as `[1]`.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross-entropy with the true classes: −(1/B) Σ_b log softmax(z_b)[y_b].
///
/// # Shapes
/// logits: `[batch, classes]`, labels: `[batch]`, result: `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    cross_entropy_per_sample(logits, labels).mean()
}

/// Cross-entropy of each sample.
///
/// # Shapes
/// logits: `[batch, classes]`, labels: `[batch]`, result: `[batch]`.
pub fn cross_entropy_per_sample(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let picked = log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1));
    -picked.squeeze_dim::<1>(1)
}

/// KL(target ‖ softmax(z)) = Σ_c q_c (log q_c − log p_c) of each sample, from the logarithms of both.
///
/// # Shapes
/// both: `[batch, classes]`, result: `[batch]`.
pub fn kl_divergence_per_sample(log_target: Tensor<2>, log_predicted: Tensor<2>) -> Tensor<1> {
    let difference = log_target.clone() - log_predicted;
    (log_target.exp() * difference).sum_dim(1).squeeze_dim::<1>(1)
}
