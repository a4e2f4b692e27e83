//! What methods do with features before they compare them.

use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

/// Both maps at the smaller one's extents, axis by axis: the larger is averaged over equal windows,
/// as `adaptive_avg_pool2d` does.
pub fn pooled_alike(a: Tensor<4>, b: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let ([_, _, ah, aw], [_, _, bh, bw]) = (a.dims(), b.dims());
    let extents = [ah.min(bh), aw.min(bw)];
    (pooled_to(a, extents), pooled_to(b, extents))
}

/// A map averaged to these extents.
pub fn pooled_to(map: Tensor<4>, extents: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    if [height, width] == extents {
        return map;
    }
    adaptive_avg_pool2d(map, extents)
}

/// Each row divided by its Euclidean norm, along the last axis; a row of norm below 1e-12 stays as
/// it is. PyTorch's `normalize` divides that by 1e-12, and its gradient with it.
pub fn unit_rows<const D: usize>(rows: Tensor<D>) -> Tensor<D> {
    let squares = rows.clone().square().sum_dim(D - 1);
    let empty = squares.clone().lower_elem(1e-24);
    rows / squares.mask_fill(empty, 1.0).sqrt()
}

/// The sum of one loss for each pair; 0 for none.
pub fn summed(losses: impl IntoIterator<Item = Tensor<1>>) -> Tensor<1> {
    losses
        .into_iter()
        .reduce(|sum, next| sum + next)
        .unwrap_or_else(|| Tensor::zeros([1], &Device::default()))
}

/// The sum of a loss over pairs, the student's value before the teacher's.
pub fn summed_over<const D: usize>(
    pairs: &[(Tensor<D>, Tensor<D>)],
    loss: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<1>,
) -> Tensor<1> {
    summed(
        pairs
            .iter()
            .map(|(guided, hint)| loss(guided.clone(), hint.clone())),
    )
}
