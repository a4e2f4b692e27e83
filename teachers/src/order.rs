//! The nodes of a graph in an order in which they can be computed. ONNX asks files for one; ONNX
//! Runtime puts nodes in order itself, and some tools rely on that.

use std::collections::{HashMap, HashSet};

use onnx_protobuf::{GraphProto, NodeProto};

use crate::error::DecodeError;

/// Puts the nodes in order: each stays where it is, unless one that it reads stands behind it.
///
/// # Errors
/// Nodes that wait for one another, with the name of one.
pub(crate) fn sort(graph: &mut GraphProto) -> Result<(), DecodeError> {
    let order = order(&graph.node)?;
    if order.is_sorted() {
        return Ok(());
    }
    let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
    graph.node = order
        .into_iter()
        .filter_map(|index| nodes[index].take())
        .collect();
    Ok(())
}

fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, DecodeError> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            makers.entry(output).or_insert(index);
        }
    }
    let needs: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let mut read = HashSet::new();
            reads(node, &mut read);
            let mut needs: Vec<usize> = read.iter().filter_map(|name| makers.get(name).copied()).collect();
            needs.sort_unstable();
            needs
        })
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    let (mut placed, mut waiting) = (vec![false; nodes.len()], vec![false; nodes.len()]);
    for first in 0..nodes.len() {
        let mut path = vec![first];
        while let Some(&node) = path.last() {
            if placed[node] {
                path.pop();
                continue;
            }
            waiting[node] = true;
            match needs[node].iter().copied().find(|need| !placed[*need]) {
                Some(need) if waiting[need] => {
                    let node = &nodes[need];
                    let name = if node.name.is_empty() {
                        node.output.first()
                    } else {
                        Some(&node.name)
                    };
                    return Err(DecodeError::Cycle {
                        node: name.cloned().unwrap_or_default(),
                    });
                }
                Some(need) => path.push(need),
                None => {
                    placed[node] = true;
                    order.push(node);
                    path.pop();
                }
            }
        }
    }
    Ok(order)
}

/// What a node reads, the graphs in its attributes included.
fn reads<'a>(node: &'a NodeProto, read: &mut HashSet<&'a str>) {
    read.extend(node.input.iter().map(String::as_str));
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            graph.node.iter().for_each(|node| reads(node, read));
            read.extend(graph.output.iter().map(|output| output.name.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        let mut proto = NodeProto::new();
        proto.input = inputs.iter().map(|name| (*name).to_owned()).collect();
        proto.output = vec![output.to_owned()];
        proto
    }

    #[test]
    fn a_node_moves_in_front_of_what_reads_it_and_the_others_stay() {
        let mut graph = GraphProto::new();
        graph.node = vec![
            node(&["b"], "c"),
            node(&["x"], "d"),
            node(&["a"], "b"),
            node(&["x"], "a"),
        ];
        sort(&mut graph).unwrap();
        let made: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(made, ["a", "b", "c", "d"]);
    }

    #[test]
    fn nodes_that_wait_for_one_another_are_refused_by_name() {
        let nodes = [node(&["b"], "a"), node(&["a"], "b")];
        assert!(matches!(order(&nodes), Err(DecodeError::Cycle { node }) if node == "a"));
        assert!(order(&[node(&["a"], "a")]).is_err());
    }
}
