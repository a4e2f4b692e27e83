//! Where a classifier ends and its features begin; another classifier in its place.

use std::collections::HashSet;

use burn::tensor::TensorData;

use crate::graph::{Graph, GraphError, Init, Node, infer};
use crate::op::{Dim, Role};

impl Graph {
    /// The features that a classifier decides by: what the last `Gemm` or `MatMul` on the way to
    /// `logits` is fed, apart from its weights. Nothing where there is none, as in networks that
    /// end in a convolution, or where several are fed different values, as in an ensemble.
    pub fn features_before<'a>(&'a self, logits: &'a str) -> Option<&'a str> {
        let mut from_pictures: HashSet<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        for node in &self.nodes {
            if node
                .inputs
                .iter()
                .any(|input| from_pictures.contains(input.as_str()))
            {
                from_pictures.extend(node.outputs.iter().map(String::as_str));
            }
        }
        let mut wanted = HashSet::from([logits]);
        let mut features = None;
        for node in self.nodes.iter().rev() {
            if !node.outputs.iter().any(|output| wanted.contains(output.as_str())) {
                continue;
            }
            let fed = node.inputs.iter().map(String::as_str);
            let mut fed = fed.filter(|input| from_pictures.contains(input));
            if !matches!(node.op.name(), "Gemm" | "MatMul") {
                wanted.extend(fed);
                continue;
            }
            let read = fed.next()?;
            if *features.get_or_insert(read) != read {
                return None;
            }
        }
        features
    }
}

impl Graph {
    /// Gives the classifier another number of classes: the last product or convolution on the way
    /// to the logits, `[batch, classes]`, gets new weights, as do stored tensors after it that have
    /// an entry for each class. New weights are drawn as those of a new linear layer, new biases
    /// are 0; names stay.
    ///
    /// # Errors
    /// [`GraphError::Classifier`] where no such layer is found, or where the network does not give
    /// the wanted classes with it.
    pub fn replace_classifier(&mut self, classes: usize, seed: u64) -> Result<(), GraphError> {
        let refuse = |reason: String| GraphError::Classifier { classes, reason };
        let logits = self.outputs.first().map(|output| output.name.clone());
        let logits = logits.ok_or_else(|| refuse("it has no output".to_owned()))?;
        let facts = infer(self, 2)?;
        let Some(&[2, before]) = facts.get(&logits).map(|fact| fact.dims.as_slice()) else {
            return Err(refuse(format!("`{logits}` is no [batch, classes]")));
        };
        if before == classes {
            return Ok(());
        }
        let mut replaced = self.clone();
        let (last, tail) = self.last_layer(&logits).ok_or_else(|| {
            refuse("no Gemm, MatMul or Conv with stored weights leads to its logits".to_owned())
        })?;
        for sized in self.sized_by_classes(last, &tail) {
            let data = self.resized(&sized, [before, classes], seed).map_err(refuse)?;
            replaced.tensors[sized.name].data = data;
        }
        let outdated: HashSet<String> = std::iter::once(last)
            .chain(tail)
            .flat_map(|index| replaced.nodes[index].outputs.clone())
            .collect();
        replaced
            .annotations
            .retain(|known| !outdated.contains(&known.name));
        for output in &mut replaced.outputs {
            if let Some([_, declared]) = output.dims.as_deref_mut()
                && output.name == logits
            {
                *declared = Dim::Known(classes);
            }
        }
        let made = infer(&replaced, 2)?;
        match made.get(&logits).map(|fact| fact.dims.as_slice()) {
            Some([2, made]) if *made == classes => {
                *self = replaced;
                Ok(())
            }
            other => Err(refuse(format!(
                "its logits would be {:?}",
                other.unwrap_or_default()
            ))),
        }
    }

    /// The stored tensors that have an entry for each class: those of the last layer, and weights
    /// that stand after it.
    fn sized_by_classes<'a>(&'a self, last: usize, tail: &[usize]) -> Vec<SizedByClasses<'a>> {
        let node = &self.nodes[last];
        let axis = class_axis(node);
        let mut found = Vec::new();
        for (position, name) in node.inputs.iter().enumerate().skip(1) {
            let Some(tensor) = self.tensors.get(name) else {
                continue;
            };
            let rank = tensor.data.shape().rank();
            let axis = if position == 1 {
                axis.min(rank.saturating_sub(1))
            } else {
                rank.saturating_sub(1)
            };
            found.push(SizedByClasses {
                name,
                axis,
                is_weight: position == 1,
            });
        }
        for node in tail.iter().map(|index| &self.nodes[*index]) {
            for name in &node.inputs {
                if let Some(tensor) = self.tensors.get(name)
                    && tensor.role == Role::Weight
                {
                    found.push(SizedByClasses {
                        name,
                        axis: tensor.data.shape().rank().saturating_sub(1),
                        is_weight: false,
                    });
                }
            }
        }
        found
    }

    /// A tensor drawn anew for other classes, or why it cannot be.
    fn resized(
        &self,
        sized: &SizedByClasses<'_>,
        [before, classes]: [usize; 2],
        seed: u64,
    ) -> Result<TensorData, String> {
        let SizedByClasses {
            name,
            axis,
            is_weight,
        } = *sized;
        let tensor = &self.tensors[name];
        let mut dims = tensor.data.shape().to_vec();
        if dims.get(axis) != Some(&before) {
            return Err(format!(
                "`{name}` of shape {dims:?} has no axis of its {before} classes where one is expected"
            ));
        }
        if self.consumers(name).len() > 1 {
            return Err(format!("`{name}` is read in several places"));
        }
        dims[axis] = classes;
        let count: usize = dims.iter().product();
        let init = if is_weight {
            Init::LinearUniform {
                fan_in: (count / classes.max(1)).max(1),
            }
        } else {
            Init::Fill(0.0)
        };
        Ok(init.draw(name, &dims, seed).convert_dtype(tensor.data.dtype()))
    }

    /// The last node with stored weights before `logits`, and the nodes between, latest first. What
    /// follows a layer may be elementwise, a reshape or a pool; where values of several such layers
    /// meet, there is none.
    fn last_layer(&self, logits: &str) -> Option<(usize, Vec<usize>)> {
        let mut tail = Vec::new();
        let mut value = logits.to_owned();
        loop {
            let index = self.producer(&value)?;
            let node = &self.nodes[index];
            let stored = |input: Option<&String>| input.is_some_and(|name| self.tensors.contains_key(name));
            if matches!(node.op.name(), "Gemm" | "MatMul" | "Conv") {
                return stored(node.inputs.get(1)).then_some((index, tail));
            }
            tail.push(index);
            let mut made = node.inputs.iter().filter(|input| self.producer(input).is_some());
            value = made.next()?.clone();
            if node.inputs.iter().any(|input| {
                *input != value
                    && self
                        .producer(input)
                        .is_some_and(|other| self.nodes[other].op.name() != "Constant")
            }) {
                // Shapes that a Reshape reads are computed, too; what they follow from is no
                // layer's business.
                if !matches!(node.op.name(), "Reshape" | "Squeeze" | "Unsqueeze") {
                    return None;
                }
                value = node.inputs.first()?.clone();
            }
        }
    }
}

/// A stored tensor that has an entry for each class.
struct SizedByClasses<'a> {
    name: &'a str,
    /// The axis of the classes.
    axis: usize,
    /// Whether it is the layer's weight, which is drawn; all else begins at 0.
    is_weight: bool,
}

/// The axis of a layer's weight that its outputs count along.
fn class_axis(node: &Node) -> usize {
    match node.op.downcast::<crate::ops::gemm::Gemm>() {
        Some(gemm) if gemm.transpose_b => 0,
        Some(_) => 1,
        None if node.op.name() == "Conv" => 0,
        // Of a MatMul the last one.
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::GraphBuilder;
    use crate::zoo;

    #[test]
    fn networks_of_the_zoo_decide_by_their_landmark() {
        for name in ["resnet8", "vgg8", "wrn-16-1", "mobilenetv2", "shufflenetv1"] {
            let graph = zoo::build(name, 5, [3, 32, 32], 0).unwrap();
            let landmarks = zoo::landmarks(name).unwrap();
            let features = graph.features_before("logits");
            assert_eq!(features, Some(landmarks.features.as_str()), "{name}");
        }
    }

    #[test]
    fn what_follows_the_last_product_does_not_count() {
        let mut b = GraphBuilder::new("net", 0);
        let pictures = b.input("input", &[3, 8, 8]);
        let pooled = b.global_pool("pool", &pictures).unwrap();
        let hidden = b.linear("hidden", &pooled, 4).unwrap();
        let hidden = b.relu("relu", &hidden).unwrap();
        let y = b.linear("fc", &hidden, 2).unwrap();
        let y = b.relu("last", &y).unwrap();
        b.output("logits", &y).unwrap();
        assert_eq!(b.finish().unwrap().features_before("logits"), Some("relu"));
    }

    #[test]
    fn an_ensemble_has_no_features_of_its_own_unless_its_members_share_them() {
        let ensemble = |first: &str, second: &str| {
            let mut b = GraphBuilder::new("net", 0);
            let pictures = b.input("input", &[3, 8, 8]);
            let pooled = b.global_pool("pool", &pictures).unwrap();
            b.relu("relu", &pooled).unwrap();
            let one = b.linear("one", first, 2).unwrap();
            let other = b.linear("other", second, 2).unwrap();
            let sum = b.add("sum", &one, &other).unwrap();
            b.output("logits", &sum).unwrap();
            let graph = b.finish().unwrap();
            graph.features_before("logits").map(str::to_owned)
        };
        assert_eq!(ensemble("pool", "pool").as_deref(), Some("pool"));
        assert_eq!(ensemble("pool", "relu"), None);
    }

    #[test]
    fn a_classifier_gets_other_classes_and_keeps_its_names() {
        for name in ["resnet8", "mobilenetv2", "vgg8"] {
            let graph = zoo::build(name, 5, [3, 32, 32], 0).unwrap();
            let mut other = graph.clone();
            other.replace_classifier(7, 1).unwrap();
            let logits = &infer(&other, 2).unwrap()["logits"];
            assert_eq!(logits.dims, [2, 7]);
            let changed: Vec<&String> = graph
                .tensors
                .iter()
                .filter(|(name, tensor)| tensor.data != other.tensors[*name].data)
                .map(|(name, _)| name)
                .collect();
            assert_eq!(changed.len(), 2, "{changed:?}");
            assert_eq!(graph.tensors.len(), other.tensors.len());
            let mut same = graph.clone();
            same.replace_classifier(5, 1).unwrap();
            assert!(
                graph
                    .tensors
                    .iter()
                    .all(|(name, tensor)| tensor.data == same.tensors[name].data)
            );
        }
    }

    #[test]
    fn a_classifier_may_be_a_convolution_or_a_product_and_a_sum() {
        let mut b = GraphBuilder::new("net", 0);
        let pictures = b.input("input", &[3, 8, 8]);
        let conv = b
            .conv("conv", &pictures, crate::builder::Conv::same(4, 1).with_bias())
            .unwrap();
        let y = b.global_pool("pool", &conv).unwrap();
        b.output("logits", &y).unwrap();
        let mut graph = b.finish().unwrap();
        graph.replace_classifier(6, 0).unwrap();
        assert_eq!(infer(&graph, 2).unwrap()["logits"].dims, [2, 6]);

        let mut b = GraphBuilder::new("net", 0);
        let pictures = b.input("input", &[3, 8, 8]);
        let pooled = b.global_pool("pool", &pictures).unwrap();
        let weight = b.tensor("weight", Role::Weight, &[3, 4], Init::Normal(1.0));
        let bias = b.tensor("bias", Role::Weight, &[4], Init::Normal(1.0));
        let product = b.node("product", "MatMul", &[&pooled, &weight], []).unwrap();
        let sum = b.node("sum", "Add", &[&bias, &product], []).unwrap();
        b.output("logits", &sum).unwrap();
        let mut graph = b.finish().unwrap();
        graph.replace_classifier(2, 0).unwrap();
        assert_eq!(infer(&graph, 2).unwrap()["logits"].dims, [2, 2]);
        assert_eq!(
            graph.tensors["bias"].data.iter::<f32>().collect::<Vec<_>>(),
            [0.0; 2]
        );
    }

    #[test]
    fn a_network_without_a_classifier_is_refused() {
        let mut b = GraphBuilder::new("net", 0);
        let pictures = b.input("input", &[3, 8, 8]);
        let y = b.global_pool("pool", &pictures).unwrap();
        b.output("logits", &y).unwrap();
        let refused = b.finish().unwrap().replace_classifier(2, 0).unwrap_err();
        assert!(refused.to_string().contains("to 2 classes"), "{refused}");
    }
}
