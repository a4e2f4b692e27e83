//! BatchNorm folded into the convolution before it: in inference, both are one linear map.
//!
//! w' = w · s / √(var + ε),  b' = (b − mean) · s / √(var + ε) + shift, per output channel.
//!
//! Preconditions, for each pair: the convolution's result is read by the BatchNorm alone and is no
//! output; the tensors of both are stored, the convolution's read by nobody else. Pairs that do not
//! fulfil them stay as they are. The result keeps the BatchNorm's name of the value, so that
//! whoever reads it finds it.

use burn::tensor::{DType, TensorData};
use potstill_core::graph::{Graph, StoredTensor};
use potstill_core::op::Role;
use potstill_core::ops::batch_norm::BatchNorm;
use potstill_core::ops::conv::ConvOp;
use potstill_core::ops::identity::Identity;

/// Folds every BatchNorm that it can; returns how many.
pub fn fold_batch_norm(graph: &mut Graph) -> usize {
    let mut folded = 0;
    let mut index = 0;
    while index < graph.nodes.len() {
        if fold_at(graph, index).is_some() {
            graph.nodes.remove(index);
            folded += 1;
        } else {
            index += 1;
        }
    }
    graph.prune_unused();
    folded
}

/// Folds the BatchNorm at `index` into its convolution; the caller removes the node. `None`: a
/// precondition is not met.
fn fold_at(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let epsilon = node.op.downcast::<BatchNorm>()?.epsilon;
    let joint = node.inputs.first()?.clone();
    let result = node.outputs.first()?.clone();
    let others = node.outputs.iter().skip(1).any(|output| graph.is_read(output));
    if others || graph.outputs.iter().any(|output| output.name == joint) || graph.consumers(&joint).len() != 1
    {
        return None;
    }
    let producer = graph.producer(&joint)?;
    let conv = &graph.nodes[producer];
    conv.op.downcast::<ConvOp>()?;
    let weight_name = conv.inputs.get(1)?.clone();
    let bias_name = conv.inputs.get(2).filter(|name| !name.is_empty()).cloned();
    let own = |name: &String| graph.consumers(name).len() == 1;
    if !own(&weight_name) || bias_name.as_ref().is_some_and(|name| !own(name)) {
        return None;
    }
    let stored = |position: usize| floats(stored(graph, node.inputs.get(position)?)?);
    let (scale, shift, mean, variance) = (stored(1)?, stored(2)?, stored(3)?, stored(4)?);
    let weight = graph.tensors.get(&weight_name)?.clone();
    let values = floats(&weight)?;
    let channels = *weight.data.shape().first()?;
    let bias = match &bias_name {
        Some(name) => floats(graph.tensors.get(name)?)?,
        None => vec![0.0; channels],
    };
    if channels == 0
        || [&scale, &shift, &mean, &variance, &bias]
            .iter()
            .any(|values| values.len() != channels)
    {
        return None;
    }
    let factor: Vec<f64> = (0..channels)
        .map(|c| scale[c] / (variance[c] + epsilon).sqrt())
        .collect();
    let per_channel = values.len() / channels;
    let new_weight: Vec<f32> = values
        .iter()
        .enumerate()
        .map(|(i, w)| (w * factor[i / per_channel]) as f32)
        .collect();
    let new_bias: Vec<f32> = (0..channels)
        .map(|c| ((bias[c] - mean[c]) * factor[c] + shift[c]) as f32)
        .collect();

    let dtype = weight.data.dtype();
    let shape = weight.data.shape().to_vec();
    let layer = weight_name.strip_suffix(".weight").unwrap_or(&weight_name);
    let bias_name = bias_name.unwrap_or_else(|| graph.fresh_names().make(&format!("{layer}.bias")));
    let store = |values: Vec<f32>, shape: Vec<usize>| StoredTensor {
        role: Role::Weight,
        data: TensorData::new(values, shape).convert_dtype(dtype),
    };
    // A weight is followed by its bias, as exporters write them.
    let position = graph.tensors.get_index_of(&weight_name)? + 1;
    graph
        .tensors
        .insert(weight_name.clone(), store(new_weight, shape));
    if graph.tensors.contains_key(&bias_name) {
        graph
            .tensors
            .insert(bias_name.clone(), store(new_bias, vec![channels]));
    } else {
        graph
            .tensors
            .shift_insert(position, bias_name.clone(), store(new_bias, vec![channels]));
    }
    let conv = &mut graph.nodes[producer];
    conv.inputs.truncate(2);
    conv.inputs.push(bias_name);
    conv.outputs = vec![result];
    Some(())
}

/// The tensor behind a value: exporters share equal ones through `Identity` nodes.
fn stored<'a>(graph: &'a Graph, value: &str) -> Option<&'a StoredTensor> {
    let mut name = value;
    loop {
        if let Some(tensor) = graph.tensors.get(name) {
            return Some(tensor);
        }
        let node = &graph.nodes[graph.producer(name)?];
        node.op.downcast::<Identity>()?;
        name = node.inputs.first()?;
    }
}

/// The elements in double precision, so that folding rounds once.
fn floats(tensor: &StoredTensor) -> Option<Vec<f64>> {
    tensor.data.dtype().is_float().then(|| {
        tensor
            .data
            .clone()
            .convert_dtype(DType::F64)
            .iter::<f64>()
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use potstill_core::builder::{Conv, GraphBuilder};
    use potstill_core::graph::Init;

    use super::*;

    /// A tensor of another node that is called as PyTorch calls the bias of the convolution.
    #[test]
    fn a_folded_bias_does_not_take_the_name_of_another_tensor() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3, 4, 4]);
        let own = b.tensor("conv.bias", Role::Weight, &[1, 3, 1, 1], Init::Fill(7.0));
        let x = b.node("scaled", "Mul", &[&x, &own], []).unwrap();
        let x = b.conv("conv", &x, Conv::same(3, 3)).unwrap();
        let x = b.batch_norm("bn", &x).unwrap();
        b.output("output", &x).unwrap();
        let mut graph = b.finish().unwrap();
        assert_eq!(fold_batch_norm(&mut graph), 1);
        graph.validate().unwrap();
        let own: Vec<f32> = graph.tensors["conv.bias"].data.iter().collect();
        assert_eq!(own, [7.0; 3]);
        assert_eq!(graph.nodes[1].inputs[2], "conv.bias_2");
    }
}
