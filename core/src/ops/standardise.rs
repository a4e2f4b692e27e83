//! Rows brought to mean 0 and variance 1: what the normalisations over parts of one sample share.

use burn::tensor::Tensor;

use crate::value::Value;

/// (x − mean) / √(var + epsilon) over each run of `width` elements; the variance is the biased one.
/// The caller has checked that `width` divides the number of elements and is not 0.
pub(super) fn standardise(x: Value, width: usize, epsilon: f64) -> Value {
    let dims = x.dims();
    let rows: Tensor<2> = x.clone().reshape(&[x.len() / width, width]).float();
    let centred = rows.clone() - rows.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    Value::from(centred / (variance + epsilon).sqrt()).reshape(&dims)
}
