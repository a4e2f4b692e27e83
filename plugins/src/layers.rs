//! Layers that several methods train beside the student: graphs of one layer, and the same on
//! recorded tensors.

use burn::tensor::Tensor;
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::graph::{Graph, GraphError};
use potstill_core::plugin::{PluginError, Recorded};

/// A 1 × 1 convolution to `to` channels with BatchNorm, for maps of the shape `dims`.
///
/// # Errors
/// A shape that no convolution takes.
pub fn connector(name: &str, dims: &[usize], to: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let x = b.input("guided", &dims[1..]);
    let y = b.conv("conv", &x, Conv::same(to, 1))?;
    let y = b.batch_norm("norm", &y)?;
    b.output("connected", &y)?;
    b.finish()
}

/// A linear layer between vectors of `from` and `to` features.
///
/// # Errors
/// A shape that no layer takes.
pub fn linear(name: &str, from: usize, to: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(name, 0);
    let x = b.input("features", &[from]);
    let y = b.linear("linear", &x, to)?;
    b.output("embedding", &y)?;
    b.finish()
}

/// A recorded linear layer, `NAME.weight` `[to, from]` and `NAME.bias` `[to]`, on recorded features
/// `[batch, from]`.
///
/// # Errors
/// Missing tensors, or shapes that do not fit.
pub fn recorded_linear(record: &Recorded, name: &str, x: Tensor<2>) -> Result<Tensor<2>, PluginError> {
    let weight = record.float::<2>(&format!("{name}.weight"))?;
    let bias = record.float::<1>(&format!("{name}.bias"))?;
    let [to, from] = weight.dims();
    if x.dims()[1] != from || bias.dims() != [to] {
        return Err(PluginError::RecordedShape {
            tensor: format!("{name}.weight"),
            got: format!("{:?} with a bias of {:?}", [to, from], bias.dims()),
            expected: format!("a layer for features {:?}", x.dims()),
        });
    }
    Ok(x.matmul(weight.transpose()) + bias.unsqueeze::<2>())
}
