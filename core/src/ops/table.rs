//! The list of all operators: the one place besides its own file that knows an operator.

use burn::tensor::DType;

use super::{
    affine_grid, argmax, attention, average_pool, batch_norm, binary, bitwise, cast, clip, col2im,
    comparison, concat, constant, constant_of_shape, conv, conv_transpose, cumsum, depth_to_space, dropout,
    einsum, elu, expand, eye_like, flatten, gather, gather_elements, gather_nd, gelu, gemm, global_pool,
    grid_sample, group_norm, hard_sigmoid, hardmax, identity, instance_norm, is_nan, layer_norm, leaky_relu,
    logic, lp_norm, lrn, matmul, max_pool, mean_variance_normalization, mish, modulo, non_zero, one_hot, pad,
    pow, prelu, quantize_linear, range, recurrent, reduce, relu, reshape, resize, rms_norm, scatter_elements,
    scatter_nd, select, shape, shrink, sigmoid, slice, softmax, split, squeeze, swish, thresholded_relu,
    tile, top_k, transpose, trilu, unary, unsqueeze, variadic,
};
use crate::op::{Attributes, NodeReader, Op, OpError, Operator};

/// The oldest operator set that files may use.
pub const OLDEST_OPSET: i64 = 6;
/// The newest operator set that files may use.
pub const NEWEST_OPSET: i64 = 28;
/// The oldest operator set that is written.
pub const OLDEST_WRITTEN: i64 = 9;
/// The newest operator set that is written: what ONNX Runtime and tract read.
pub const NEWEST_WRITTEN: i64 = 24;

/// All operators, by family.
pub(crate) const OPERATORS: &[&[Operator]] = &[
    // Convolution and normalisation.
    conv::OPERATORS,
    conv_transpose::OPERATORS,
    batch_norm::OPERATORS,
    layer_norm::OPERATORS,
    group_norm::OPERATORS,
    instance_norm::OPERATORS,
    lrn::OPERATORS,
    rms_norm::OPERATORS,
    mean_variance_normalization::OPERATORS,
    // Products.
    gemm::OPERATORS,
    matmul::OPERATORS,
    einsum::OPERATORS,
    attention::OPERATORS,
    recurrent::OPERATORS,
    // Pooling and resizing.
    max_pool::OPERATORS,
    average_pool::OPERATORS,
    global_pool::OPERATORS,
    lp_norm::OPERATORS,
    resize::OPERATORS,
    depth_to_space::OPERATORS,
    col2im::OPERATORS,
    affine_grid::OPERATORS,
    grid_sample::OPERATORS,
    // Classification and regularisation.
    softmax::OPERATORS,
    hardmax::OPERATORS,
    argmax::OPERATORS,
    top_k::OPERATORS,
    dropout::OPERATORS,
    // Activation.
    relu::OPERATORS,
    leaky_relu::OPERATORS,
    prelu::OPERATORS,
    elu::OPERATORS,
    sigmoid::OPERATORS,
    hard_sigmoid::OPERATORS,
    thresholded_relu::OPERATORS,
    shrink::OPERATORS,
    clip::OPERATORS,
    gelu::OPERATORS,
    mish::OPERATORS,
    swish::OPERATORS,
    // Elementwise.
    binary::OPERATORS,
    pow::OPERATORS,
    modulo::OPERATORS,
    variadic::OPERATORS,
    unary::OPERATORS,
    comparison::OPERATORS,
    is_nan::OPERATORS,
    logic::OPERATORS,
    bitwise::OPERATORS,
    select::OPERATORS,
    // Reduction.
    reduce::OPERATORS,
    cumsum::OPERATORS,
    // Shape.
    shape::OPERATORS,
    non_zero::OPERATORS,
    reshape::OPERATORS,
    flatten::OPERATORS,
    transpose::OPERATORS,
    squeeze::OPERATORS,
    unsqueeze::OPERATORS,
    expand::OPERATORS,
    // Parts of tensors.
    concat::OPERATORS,
    split::OPERATORS,
    slice::OPERATORS,
    gather::OPERATORS,
    gather_elements::OPERATORS,
    gather_nd::OPERATORS,
    scatter_nd::OPERATORS,
    scatter_elements::OPERATORS,
    pad::OPERATORS,
    tile::OPERATORS,
    trilu::OPERATORS,
    // Making and converting.
    constant::OPERATORS,
    constant_of_shape::OPERATORS,
    range::OPERATORS,
    one_hot::OPERATORS,
    eye_like::OPERATORS,
    cast::OPERATORS,
    quantize_linear::OPERATORS,
    identity::OPERATORS,
];

/// The table's entry for ONNX's name of an operator.
pub fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS
        .iter()
        .flat_map(|family| family.iter())
        .find(|operator| operator.name == name)
}

/// The names of all operators, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = OPERATORS
        .iter()
        .flat_map(|family| family.iter())
        .map(|op| op.name)
        .collect();
    names.sort_unstable();
    names
}

/// Reads a node. `None` if the operator is not in the table.
///
/// # Errors
/// What the operator says about its attributes.
pub fn read(
    op: &str,
    opset: i64,
    inputs: usize,
    outputs: usize,
    attributes: &Attributes,
) -> Option<Result<Box<dyn Op>, OpError>> {
    read_stored(op, opset, &vec![None; inputs], outputs, attributes)
}

/// Reads a node of which it is known how the elements of stored inputs are typed; `None` for an
/// input that is computed or absent.
///
/// # Errors
/// As [`read`].
pub fn read_stored(
    op: &str,
    opset: i64,
    inputs: &[Option<DType>],
    outputs: usize,
    attributes: &Attributes,
) -> Option<Result<Box<dyn Op>, OpError>> {
    let operator = find(op)?;
    let reader = NodeReader::new(op, opset, inputs, outputs, attributes);
    Some((operator.read)(&reader).and_then(|op| reader.finish().map(|()| op)))
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::super::testing::{bools, floats, ints, run_op};
    use super::*;
    use crate::op::Attribute;
    use crate::value::Value;

    #[test]
    fn every_operator_stands_in_the_table_once() {
        let names = names();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
    }

    /// Small tensors of any kind, with extents of 0 and scalars among them.
    fn any_value(random: &mut ChaCha8Rng) -> Option<Value> {
        let rank = random.random_range(0..5);
        let dims: Vec<usize> = (0..rank)
            .map(|_| [0, 1, 1, 2, 2, 3][random.random_range(0..6)])
            .collect();
        let count = dims.iter().product();
        match random.random_range(0..8) {
            0 => None,
            1 => {
                let values: Vec<bool> = (0..count).map(|_| random.random()).collect();
                Some(bools(&dims, &values))
            }
            // Mostly what a list of axes or extents looks like.
            2..5 => {
                let dims = if random.random_range(0..4) > 0 {
                    &[count][..]
                } else {
                    &dims
                };
                let values: Vec<i64> = (0..count).map(|_| random.random_range(-3..4)).collect();
                Some(ints(dims, &values))
            }
            _ => {
                let values: Vec<f32> = (0..count).map(|_| random.random_range(-2.0..2.0)).collect();
                Some(floats(&dims, &values))
            }
        }
    }

    /// Attributes that several operators have, now and then.
    fn any_attributes(random: &mut ChaCha8Rng) -> Vec<(&'static str, Attribute)> {
        let number = random.random_range(-4..5);
        let list: Vec<i64> = (0..random.random_range(0..5))
            .map(|_| random.random_range(-3..4))
            .collect();
        let flag = random.random_range(0..2);
        let of_all: [(&'static str, Attribute); 13] = [
            ("axis", number.into()),
            ("axes", list.clone().into()),
            ("keepdims", flag.into()),
            ("perm", list.clone().into()),
            ("to", number.abs().into()),
            ("pads", list.clone().into()),
            (
                "mode",
                ["edge", "reflect", "constant"][random.random_range(0..3)].into(),
            ),
            ("fmod", flag.into()),
            ("allowzero", flag.into()),
            ("starts", list.clone().into()),
            ("ends", list.iter().rev().copied().collect::<Vec<i64>>().into()),
            ("exclusive", flag.into()),
            ("kernel_shape", list.into()),
        ];
        let share = random.random_range(0.0..1.0);
        of_all.into_iter().filter(|_| random.random_bool(share)).collect()
    }

    #[test]
    fn whatever_inference_accepts_runs_to_the_inferred_shape() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for name in names() {
            for _ in 0..3000 {
                let opset = random.random_range(OLDEST_OPSET..=NEWEST_OPSET);
                let mut attributes = any_attributes(&mut random);
                let mut inputs: Vec<Option<Value>> = Vec::new();
                for _ in 0..random.random_range(0..6) {
                    // Equal inputs fit each other more often than two drawn apart.
                    let again = inputs.last().filter(|_| random.random_bool(0.5)).cloned();
                    inputs.push(again.unwrap_or_else(|| any_value(&mut random)));
                }
                // Compares kinds and shapes itself; a refusal is as good as a result, a panic is
                // not.
                while let Err(OpError::UnknownAttribute { attribute, .. }) =
                    run_op(name, opset, &attributes, &inputs)
                {
                    attributes.retain(|(name, _)| *name != attribute);
                }
            }
        }
    }
}
