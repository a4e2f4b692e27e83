//! The layers that several families share and that are more than one node.

use crate::builder::{Conv, GraphBuilder};
use crate::graph::{GraphError, Init};
use crate::op::Role;

/// What a layer gives back: the name of its output value.
pub(super) type Layer = Result<String, GraphError>;

/// Convolution and BatchNorm; `names` are those of the two.
pub(super) fn conv_bn(b: &mut GraphBuilder, names: [&str; 2], x: &str, conv: Conv) -> Layer {
    let y = b.conv(names[0], x, conv)?;
    b.batch_norm(names[1], &y)
}

/// Convolution, BatchNorm and ReLU; `names` are those of the three.
pub(super) fn conv_bn_relu(b: &mut GraphBuilder, names: [&str; 3], x: &str, conv: Conv) -> Layer {
    let y = conv_bn(b, [names[0], names[1]], x, conv)?;
    b.relu(names[2], &y)
}

/// The two halves of the channels, as the values `{name}.0` and `{name}.1`.
pub(super) fn halves(b: &mut GraphBuilder, name: &str, x: &str) -> Result<[String; 2], GraphError> {
    let outputs = [format!("{name}.0"), format!("{name}.1")];
    b.node_with_outputs(
        name,
        "Split",
        &[x],
        &[&outputs[0], &outputs[1]],
        [("axis", 1.into())],
    )?;
    Ok(outputs)
}

/// The channel shuffle of Zhang et al. 2017 (arXiv 1707.01083, section 3.1): channel i of group j
/// becomes channel j of group i.
pub(super) fn shuffle(b: &mut GraphBuilder, name: &str, x: &str, groups: usize) -> Layer {
    let (channels, height, width) = match b.dims(x)[..] {
        [_, channels, height, width] => (channels, height, width),
        _ => (0, 0, 0),
    };
    let extents = [groups, channels / groups, height * width].map(|extent| extent as i64);
    // ONNX's Reshape: 0 keeps the batch as it is.
    let grouped = b.ints(
        &format!("{name}.groups"),
        &[0, extents[0], extents[1], extents[2]],
    );
    let picture = b.ints(
        &format!("{name}.picture"),
        &[0, channels as i64, height as i64, width as i64],
    );
    let y = b.node(&format!("{name}.grouped"), "Reshape", &[x, &grouped], [])?;
    let perm = vec![0, 2, 1, 3];
    let y = b.node(
        &format!("{name}.swapped"),
        "Transpose",
        &[&y],
        [("perm", perm.into())],
    )?;
    b.node(name, "Reshape", &[&y, &picture], [])
}

/// A linear layer on `[batch, features]` with weights drawn from a normal distribution of deviation
/// 0.01 and a bias of 0, as the VGG and MobileNetV2 code has it.
pub(super) fn narrow_linear(b: &mut GraphBuilder, name: &str, x: &str, out: usize) -> Layer {
    let dims = [out, b.channels(x)];
    let weight = b.tensor(&format!("{name}.weight"), Role::Weight, &dims, Init::Normal(0.01));
    let bias = b.tensor(&format!("{name}.bias"), Role::Weight, &[out], Init::Fill(0.0));
    b.node(name, "Gemm", &[x, &weight, &bias], [("transB", 1.into())])
}
