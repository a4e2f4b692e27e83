//! New weights for a network from a file: what `--init random` gives a student whose architecture
//! alone is wanted.

use std::collections::HashMap;

use crate::graph::{Graph, Init, Node, StoredTensor};
use crate::op::Role;
use crate::ops::gemm::Gemm;

impl Graph {
    /// Draws all weights anew from a seed, and resets running statistics. What a tensor is drawn by
    /// follows from the first node that reads it:
    ///
    /// | read as | drawn |
    /// | --- | --- |
    /// | weight of Conv, ConvTranspose | normal, variance 2 / fan-out, as the zoo's |
    /// | weight of Gemm, MatMul, Einsum, LSTM, GRU, RNN | uniform on ±1/√fan-in, as PyTorch's linear layers |
    /// | scale and bias of a normalisation, its running statistics | 1 and 0, mean 0 and variance 1 |
    /// | bias of any layer | 0 |
    /// | other summands, parts of a Concat, embeddings | normal, standard deviation 0.02, as the tokens and positions of transformers |
    /// | factors (the scale of a layer, a slope) | left as they are |
    pub fn redraw(&mut self, seed: u64) {
        let mut inits: HashMap<String, Option<Init>> = HashMap::new();
        for node in &self.nodes {
            for (position, name) in node.inputs.iter().enumerate() {
                let Some(tensor) = self.tensors.get(name) else {
                    continue;
                };
                if tensor.role == Role::Constant || inits.contains_key(name) {
                    continue;
                }
                inits.insert(name.clone(), init(node, position, tensor));
            }
        }
        for (name, tensor) in &mut self.tensors {
            if let Some(Some(init)) = inits.get(name) {
                let dims = tensor.data.shape().to_vec();
                tensor.data = init.draw(name, &dims, seed).convert_dtype(tensor.data.dtype());
            }
        }
    }
}

/// How a tensor that a node reads at a position is drawn; `None` leaves it.
fn init(node: &Node, position: usize, tensor: &StoredTensor) -> Option<Init> {
    let dims = tensor.data.shape().to_vec();
    let linear = |fan_in: usize| {
        Some(Init::LinearUniform {
            fan_in: fan_in.max(1),
        })
    };
    let transposed = node.op.downcast::<Gemm>().is_some_and(|gemm| gemm.transpose_b);
    match (node.op.name(), position) {
        ("Conv" | "ConvTranspose", 1) if dims.len() > 2 => Some(Init::KaimingFanOut),
        ("Gemm" | "MatMul" | "Einsum", 0 | 1) => match dims[..] {
            [.., columns] if transposed => linear(columns),
            // What stands on the left is read by its rows.
            [.., _, columns] if position == 0 => linear(columns),
            [.., rows, _] => linear(rows),
            _ => linear(tensor.len()),
        },
        ("LSTM" | "GRU" | "RNN", 1 | 2) => dims.last().and_then(|inputs| linear(*inputs)),
        (
            "BatchNormalization"
            | "LayerNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "RMSNormalization",
            _,
        ) => Some(Init::Fill(if matches!(position, 1 | 4) { 1.0 } else { 0.0 })),
        ("Conv" | "ConvTranspose" | "Gemm", 2) | ("LSTM" | "GRU" | "RNN", 3) => Some(Init::Fill(0.0)),
        // One vector for all pictures, `[1, units]` as well as `[units]`.
        ("Add" | "Sub", _) if matches!(dims[..], [] | [_] | [1, _]) => Some(Init::Fill(0.0)),
        ("Add" | "Sub" | "Concat" | "Gather" | "Expand", _) => Some(Init::Normal(0.02)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::zoo;

    use super::*;

    #[test]
    fn a_network_is_drawn_anew_and_its_statistics_reset() {
        let mut graph = zoo::build("resnet8", 5, [3, 32, 32], 0).unwrap();
        for tensor in graph
            .tensors
            .values_mut()
            .filter(|tensor| tensor.role == Role::Buffer)
        {
            let dims = tensor.data.shape().to_vec();
            tensor.data = Init::Fill(9.0).draw("", &dims, 0);
        }
        let before = graph.clone();
        graph.redraw(1);
        for (name, tensor) in &graph.tensors {
            let values: Vec<f32> = tensor.data.iter().collect();
            if name.ends_with("running_mean") || name.ends_with("bias") {
                assert!(values.iter().all(|x| *x == 0.0), "{name}");
            } else if name.ends_with("running_var") {
                assert!(values.iter().all(|x| *x == 1.0), "{name}");
            } else if name.contains("conv") {
                assert_ne!(tensor.data, before.tensors[name].data, "{name}");
                let own = values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32;
                let zoo: Vec<f32> = before.tensors[name].data.iter().collect();
                let expected = zoo.iter().map(|x| x * x).sum::<f32>() / zoo.len() as f32;
                assert!((own / expected - 1.0).abs() < 0.3, "{name}: {own} {expected}");
            }
        }
        let mut again = before.clone();
        again.redraw(1);
        assert!(
            again
                .tensors
                .iter()
                .all(|(name, tensor)| tensor.data == graph.tensors[name].data)
        );
        again.redraw(2);
        assert!(
            again
                .tensors
                .iter()
                .any(|(name, tensor)| tensor.data != graph.tensors[name].data)
        );
    }
}
