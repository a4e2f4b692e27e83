//! A network's identity: equal where it computes the same from the same input, whatever file it
//! came from.

use burn::tensor::TensorData;
use sha2::{Digest, Sha256};

use super::Graph;
use crate::op::Attribute;

impl Graph {
    /// SHA-256, in hexadecimal, of everything that decides what the network computes: operator
    /// sets, inputs, outputs, nodes with their attributes as written, stored tensors with their
    /// elements. Free text, metadata and the names of nodes do not count; the names of values do,
    /// as taps go by them.
    pub fn fingerprint(&self) -> String {
        let mut hash = Hash(Sha256::new());
        for (domain, version) in &self.model.opsets {
            hash.text(domain);
            hash.text(&version.to_string());
        }
        for (what, values) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            hash.text(what);
            for value in values {
                hash.text(&value.name);
                hash.text(&format!("{:?} {:?}", value.element, value.dims));
            }
        }
        hash.text("nodes");
        for node in &self.nodes {
            hash.text(node.op.name());
            for (what, names) in [("from", &node.inputs), ("to", &node.outputs)] {
                hash.text(what);
                names.iter().for_each(|name| hash.text(name));
            }
            hash.text("with");
            for (name, attribute) in &node.attributes {
                hash.text(name);
                match attribute {
                    Attribute::Tensor(_, data) => hash.tensor(data),
                    other => hash.text(&format!("{other:?}")),
                }
            }
        }
        hash.text("tensors");
        for (name, tensor) in &self.tensors {
            hash.text(name);
            hash.tensor(&tensor.data);
        }
        format!("{:x}", hash.0.finalize())
    }
}

/// Pieces with their lengths, so that no two sequences of pieces run together into the same bytes.
struct Hash(Sha256);

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn tensor(&mut self, data: &TensorData) {
        self.text(&format!("{:?} {:?}", data.dtype(), data.shape()));
        self.bytes(data.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use crate::zoo;

    #[test]
    fn a_weight_or_an_attribute_makes_another_network_and_a_note_does_not() {
        let network = |seed| zoo::build("resnet8", 10, [3, 32, 32], seed).unwrap();
        let first = network(1).fingerprint();
        assert_eq!(first.len(), 64);
        assert_eq!(first, network(1).fingerprint());
        assert_ne!(first, network(2).fingerprint());

        let mut noted = network(1);
        noted.model.doc = "trained on a Tuesday".to_owned();
        assert_eq!(first, noted.fingerprint());

        let mut strided = network(1);
        let node = strided
            .nodes
            .iter_mut()
            .find(|node| node.attributes.contains_key("strides"));
        node.unwrap()
            .attributes
            .insert("strides".to_owned(), vec![2, 1].into());
        assert_ne!(first, strided.fingerprint());
    }
}
