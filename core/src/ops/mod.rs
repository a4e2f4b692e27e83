//! The operators, one file each: attributes, shape, run, cost, and what each operator set changed.
//!
//! A file ends with a `pub const …: Operator` (several where one idea serves several names); [`table`] lists them all. Whoever adds an
//! operator writes one file and one line there. The order inside a file is always the same: head with the specification, the type with its
//! attributes, `impl Op`, private parts, the table's entry, tests.

mod pool;
mod shaped;
mod standardise;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod window;

pub mod affine_grid;
pub mod argmax;
pub mod attention;
pub mod average_pool;
pub mod batch_norm;
pub mod binarize;
pub mod binary;
pub mod bitwise;
pub mod cast;
pub mod clip;
pub mod col2im;
pub mod comparison;
pub mod concat;
pub mod constant;
pub mod constant_of_shape;
pub mod conv;
pub mod conv_transpose;
pub mod cumsum;
pub mod depth_to_space;
pub mod dropout;
pub mod einsum;
pub mod elu;
pub mod expand;
pub mod eye_like;
pub mod fake_quantize;
pub mod flatten;
pub mod gather;
pub mod gather_elements;
pub mod gather_nd;
pub mod gelu;
pub mod gemm;
pub mod global_pool;
pub mod grid_sample;
pub mod group_norm;
pub mod hard_sigmoid;
pub mod hardmax;
pub mod identity;
pub mod instance_norm;
pub mod interpolation;
pub mod is_nan;
pub mod layer_norm;
pub mod leaky_relu;
pub mod logic;
pub mod lp_norm;
pub mod lrn;
pub mod matmul;
pub mod max_pool;
pub mod mean_variance_normalization;
pub mod mish;
pub mod modulo;
pub mod non_zero;
pub mod one_hot;
pub mod pad;
pub mod pow;
pub mod prelu;
pub mod quantize_linear;
pub mod range;
pub mod recurrent;
pub mod reduce;
pub mod relu;
pub mod reshape;
pub mod resize;
pub mod rms_norm;
pub mod scale_gradient;
pub mod scatter_elements;
pub mod scatter_nd;
pub mod select;
pub mod shape;
pub mod shrink;
pub mod sigmoid;
pub mod slice;
pub mod softmax;
pub mod split;
pub mod squeeze;
pub mod swish;
pub mod thresholded_relu;
pub mod tile;
pub mod top_k;
pub mod transpose;
pub mod trilu;
pub mod unary;
pub mod unsqueeze;
pub mod variadic;

pub use window::{Padding, Window};
