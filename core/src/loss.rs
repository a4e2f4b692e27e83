//! The loss functions that training and most methods share; each method's own stand in its plugin.
//!
//! All return one number, averaged over the batch, as `[1]`.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

/// Cross-entropy with the true classes: `−(1/B) Σ_b log softmax(z_b)[y_b]`.
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

/// KL(target ‖ softmax(z)) = Σ_c q_c (log q_c − log p_c) of each sample, from the logarithms of
/// both.
///
/// # Shapes
/// both: `[batch, classes]`, result: `[batch]`.
pub fn kl_divergence_per_sample(log_target: Tensor<2>, log_predicted: Tensor<2>) -> Tensor<1> {
    let difference = log_target.clone() - log_predicted;
    (log_target.exp() * difference).sum_dim(1).squeeze_dim::<1>(1)
}

/// The logarithm of softmax(z / T) + ε: soft targets as a KL term takes them. ε is 0 in every
/// paper; reference code adds 1e-7.
///
/// # Shapes
/// logits: `[batch, classes]`, result: `[batch, classes]`.
pub fn soft_targets(logits: Tensor<2>, temperature: f64, epsilon: f64) -> Tensor<2> {
    let softened = logits / temperature;
    if epsilon == 0.0 {
        return log_softmax(softened, 1);
    }
    (softmax(softened, 1) + epsilon).log()
}

/// T² · KL(target ‖ softmax(z / T)) of each sample. The factor keeps the gradient's scale the same
/// at any temperature.
///
/// # Shapes
/// logits: `[batch, classes]`, log_target: `[batch, classes]` logarithms of probabilities, result:
/// `[batch]`.
pub fn soft_target_loss_per_sample(logits: Tensor<2>, log_target: Tensor<2>, temperature: f64) -> Tensor<1> {
    let log_predicted = log_softmax(logits / temperature, 1);
    kl_divergence_per_sample(log_target, log_predicted) * (temperature * temperature)
}

/// The same, averaged over the batch, `[1]`.
pub fn soft_target_loss(logits: Tensor<2>, log_target: Tensor<2>, temperature: f64) -> Tensor<1> {
    soft_target_loss_per_sample(logits, log_target, temperature).mean()
}
