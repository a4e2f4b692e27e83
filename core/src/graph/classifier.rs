//! Where a classifier ends and its features begin.

use std::collections::HashSet;

use super::Graph;

impl Graph {
    /// The features that a classifier decides by: what the last `Gemm` or `MatMul` on the way to `logits` is fed, apart from its weights. Nothing
    /// where there is none, as in networks that end in a convolution, or where several are fed different values, as in an ensemble.
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

#[cfg(test)]
mod tests {
    use crate::graph::GraphBuilder;
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
}
