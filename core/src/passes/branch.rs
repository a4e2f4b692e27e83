//! Branching: what comes after a named value is copied, what comes before is shared.
//!
//! One transform serves every method that trains several heads on a shared trunk: ONE (arXiv
//! 1806.04606), CL-ILR (arXiv 1805.11761; several forks make its tree), OKDDip by branches (arXiv
//! 1912.00350). A copy of `x` is called `x@1`, in a tree `x@1.0`; each member knows how the names
//! of the original network read in it, so that a tap is written once, and cutting a member out
//! gives the original names back.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, GraphError, Node, infer};
use crate::op::{Attributes, Role, ValueInfo};
use crate::ops::scale_gradient::ScaleGradient;
use crate::value::Kind;

/// A place where a network parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The last value that is shared.
    pub value: String,
    /// How many copies of what follows are made.
    pub branches: usize,
}

/// How a member calls the values and tensors of the network that it is a copy of; what is not
/// listed is shared or has kept its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// The name in the branched graph.
    pub fn of<'a>(&'a self, original: &'a str) -> &'a str {
        self.0.get(original).map_or(original, String::as_str)
    }

    /// Pairs (original, name in the branched graph) of what the member has for itself.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(original, own)| (original.as_str(), own.as_str()))
    }
}

/// A network with several ends.
#[derive(Clone, Debug)]
pub struct Branched {
    /// The network. Its outputs are those of the first member, then those of the second, and so on.
    pub graph: Graph,
    /// The members, in the order of their paths through the forks.
    pub members: Vec<Names>,
}

/// Copies what follows each fork; `forks` are in the order in which the data passes them, and all
/// but the first part every branch again.
///
/// With `rescale`, the gradient that flows back through a fork is divided by its number of branches
/// (CL-ILR, section 3.2).
///
/// # Errors
/// [`GraphError::Branch`] with the values that are possible.
pub fn branch(graph: &Graph, forks: &[Fork], rescale: bool) -> Result<Branched, GraphError> {
    for (index, fork) in forks.iter().enumerate() {
        let before = index.checked_sub(1).map(|earlier| forks[earlier].value.as_str());
        check(graph, fork, before)?;
    }
    let mut branched = graph.clone();
    let mut members = vec![Member::default()];
    for fork in forks {
        let mut parted = Vec::with_capacity(members.len() * fork.branches);
        for member in &members {
            parted.extend(part(&mut branched, member, fork, rescale));
        }
        members = parted;
    }
    branched.outputs = members
        .iter()
        .flat_map(|member| {
            graph.outputs.iter().map(|output| ValueInfo {
                name: member.names.of(&output.name).to_owned(),
                ..output.clone()
            })
        })
        .collect();
    let mut seen = HashSet::new();
    branched.outputs.retain(|output| seen.insert(output.name.clone()));
    branched.annotations.clear();
    branched.prune_unused();
    branched.validate()?;
    Ok(Branched {
        graph: branched,
        members: members.into_iter().map(|member| member.names).collect(),
    })
}

/// The network that one member is, with the names and outputs of the `original` and the tensors of
/// `branched`.
///
/// # Errors
/// A member of another network.
pub fn cut(branched: &Graph, member: &Names, original: &Graph) -> Result<Graph, GraphError> {
    let mut alone = original.clone();
    for (name, tensor) in &mut alone.tensors {
        let own = member.of(name);
        let trained = branched.tensors.get(own).ok_or_else(|| GraphError::NoValue {
            value: own.to_owned(),
            near: Vec::new(),
        })?;
        *tensor = trained.clone();
    }
    Ok(alone)
}

/// The values after which a network can part, in its order.
///
/// # Errors
/// A node that refuses its inputs.
pub fn branch_points(graph: &Graph) -> Result<Vec<String>, GraphError> {
    let floats = floats(graph)?;
    Ok(graph
        .value_names()
        .filter(|value| floats.contains(*value) && refusal(graph, value, &floats).is_none())
        .map(str::to_owned)
        .collect())
}

#[derive(Clone, Debug, Default)]
struct Member {
    names: Names,
    /// `1.0`: the branch taken at each fork.
    path: String,
}

fn check(graph: &Graph, fork: &Fork, before: Option<&str>) -> Result<(), GraphError> {
    let refuse = |reason: String| -> Result<(), GraphError> {
        Err(GraphError::Branch {
            value: fork.value.clone(),
            reason,
            possible: branch_points(graph)?,
        })
    };
    if fork.branches == 0 {
        return refuse("0 branches, expected 1 or more".to_owned());
    }
    if graph.value_names().all(|known| known != fork.value) {
        return refuse("the network has no such value".to_owned());
    }
    if let Some(reason) = refusal(graph, &fork.value, &floats(graph)?) {
        return refuse(reason);
    }
    if let Some(before) = before
        && !dependents(graph, before)
            .iter()
            .any(|node| graph.nodes[*node].outputs.contains(&fork.value))
    {
        return refuse(format!("it does not come after the fork `{before}`"));
    }
    Ok(())
}

/// Why a network cannot part after a value; `None` if it can.
fn refusal(graph: &Graph, value: &str, floats: &HashSet<String>) -> Option<String> {
    let copied = dependents(graph, value);
    let made: HashSet<&str> = copied
        .iter()
        .flat_map(|node| graph.nodes[*node].outputs.iter().map(String::as_str))
        .collect();
    let logits = graph.outputs.first().map_or("", |output| output.name.as_str());
    if !made.contains(logits) {
        return Some(format!("the output `{logits}` does not follow from it"));
    }
    let read = || copied.iter().flat_map(|node| &graph.nodes[*node].inputs);
    // Shapes may pass a fork: they are the same in every branch.
    let around = read().find(|input| {
        input.as_str() != value
            && !made.contains(input.as_str())
            && !graph.tensors.contains_key(*input)
            && floats.contains(*input)
    });
    if let Some(around) = around {
        return Some(format!("`{around}` leads around it"));
    }
    let trained = |name: &String| {
        graph
            .tensors
            .get(name)
            .is_some_and(|tensor| tensor.role == Role::Weight)
    };
    if !read().any(trained) {
        return Some("no weights follow it, so that all branches would be the same".to_owned());
    }
    None
}

fn floats(graph: &Graph) -> Result<HashSet<String>, GraphError> {
    Ok(infer(graph, 1)?
        .into_iter()
        .filter(|(_, fact)| fact.kind == Kind::Float && fact.value.is_none())
        .map(|(name, _)| name)
        .collect())
}

/// The nodes whose results depend on a value, in order.
fn dependents(graph: &Graph, value: &str) -> Vec<usize> {
    let mut reached: HashSet<&str> = HashSet::from([value]);
    let mut nodes = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.inputs.iter().any(|input| reached.contains(input.as_str())) {
            reached.extend(
                node.outputs
                    .iter()
                    .filter(|name| !name.is_empty())
                    .map(String::as_str),
            );
            nodes.push(index);
        }
    }
    nodes
}

/// Parts one member's end of the graph.
fn part(graph: &mut Graph, member: &Member, fork: &Fork, rescale: bool) -> Vec<Member> {
    let shared = member.names.of(&fork.value).to_owned();
    let copied: HashSet<usize> = dependents(graph, &shared).into_iter().collect();
    let original: HashMap<&str, &str> = member
        .names
        .iter()
        .map(|(original, own)| (own, original))
        .collect();
    let parted = parted(graph, member, fork.branches, &copied, &original);
    let read_from = if rescale {
        let taken = parted.iter().flat_map(|member| member.names.iter());
        let mut names = graph.fresh_names();
        taken.for_each(|(_, own)| drop(names.make(own)));
        names.make(&format!("{shared}@fork"))
    } else {
        shared.clone()
    };
    let own_name = |member: &Member, name: &str| -> String {
        if name == shared {
            return read_from.clone();
        }
        let original = original.get(name).copied().unwrap_or(name);
        member.names.of(original).to_owned()
    };
    let mut nodes = Vec::with_capacity(graph.nodes.len() + copied.len() * fork.branches);
    let mut forked = !rescale;
    for (index, node) in graph.nodes.iter().enumerate() {
        if !copied.contains(&index) {
            nodes.push(node.clone());
            continue;
        }
        if !forked {
            nodes.push(rescaling(&shared, &read_from, fork.branches));
            forked = true;
        }
        for member in &parted {
            nodes.push(Node {
                name: if node.name.is_empty() {
                    String::new()
                } else {
                    format!("{}@{}", original_node_name(&node.name, &member.path), member.path)
                },
                inputs: node.inputs.iter().map(|name| own_name(member, name)).collect(),
                outputs: node.outputs.iter().map(|name| own_name(member, name)).collect(),
                ..node.clone()
            });
        }
    }
    let mut stored: Vec<_> = parted
        .iter()
        .flat_map(|part| {
            part.names.iter().filter_map(|(original, own)| {
                let tensor = graph.tensors.get(member.names.of(original))?;
                Some((own.to_owned(), tensor.clone()))
            })
        })
        .collect();
    stored.sort_by(|a, b| a.0.cmp(&b.0));
    graph.nodes = nodes;
    graph.tensors.extend(stored);
    parted
}

/// A member for each branch, with names of its own for what the copied nodes make and for what they
/// store.
fn parted(
    graph: &Graph,
    member: &Member,
    branches: usize,
    copied: &HashSet<usize>,
    original: &HashMap<&str, &str>,
) -> Vec<Member> {
    let mut parted: Vec<Member> = (0..branches)
        .map(|branch| Member {
            names: member.names.clone(),
            path: if member.path.is_empty() {
                branch.to_string()
            } else {
                format!("{}.{branch}", member.path)
            },
        })
        .collect();
    let is_stored = |input: &&String| {
        let tensor = graph.tensors.get(*input);
        tensor.is_some_and(|tensor| tensor.role != Role::Constant)
    };
    let mut names = graph.fresh_names();
    let mut seen = HashSet::new();
    for node in copied.iter().map(|index| &graph.nodes[*index]) {
        let made = node.outputs.iter().filter(|name| !name.is_empty());
        for own in made.chain(node.inputs.iter().filter(is_stored)) {
            let original = original.get(own.as_str()).copied().unwrap_or(own);
            if !seen.insert(original) {
                continue;
            }
            for member in &mut parted {
                let name = names.make(&format!("{original}@{}", member.path));
                member.names.0.insert(original.to_owned(), name);
            }
        }
    }
    parted
}

/// A node's name without the mark of the fork before.
fn original_node_name<'a>(name: &'a str, path: &str) -> &'a str {
    let before = path.rsplit_once('.').map_or("", |(before, _)| before);
    name.strip_suffix(before)
        .and_then(|name| name.strip_suffix('@'))
        .filter(|_| !before.is_empty())
        .unwrap_or(name)
}

fn rescaling(shared: &str, scaled: &str, branches: usize) -> Node {
    Node {
        name: scaled.to_owned(),
        op: Box::new(ScaleGradient {
            factor: 1.0 / branches as f64,
        }),
        attributes: Attributes::default(),
        inputs: vec![shared.to_owned()],
        outputs: vec![scaled.to_owned()],
        doc: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::graph::{Init, infer};
    use crate::network::Network;
    use crate::op::Mode;
    use crate::value::Value;
    use crate::zoo;

    fn fork(value: &str, branches: usize) -> Fork {
        Fork {
            value: value.to_owned(),
            branches,
        }
    }

    fn pictures(batch: usize) -> Value {
        let data = Init::Normal(1.0).draw("pictures", &[batch, 3, 32, 32], 0);
        Value::from_data(data, &Device::flex())
    }

    fn floats(network: &Network, value: &str, mode: Mode) -> Vec<f32> {
        let outputs = network.forward_to(pictures(3), &[value], mode).unwrap();
        outputs.get(value).unwrap().to_floats().unwrap()
    }

    /// At every value at which a network can part, and in both modes.
    #[test]
    fn every_copy_equals_the_original() {
        for name in ["resnet8", "vgg8", "shufflenetv2", "densenet-40-12"] {
            let graph = zoo::build(name, 5, [3, 32, 32], 3).unwrap();
            let original = Network::new(graph.clone(), &Device::flex()).unwrap();
            let points = branch_points(&graph).unwrap();
            assert!(points.len() >= 4, "{name}: {points:?}");
            for point in points.iter().step_by(points.len() / 3) {
                let branched = branch(&graph, &[fork(point, 3)], true).unwrap();
                let network = Network::new(branched.graph.clone(), &Device::flex()).unwrap();
                for mode in [Mode::Inference, Mode::Rehearsal] {
                    let expected = floats(&original, "logits", mode);
                    for member in &branched.members {
                        assert_eq!(
                            floats(&network, member.of("logits"), mode),
                            expected,
                            "{name} at {point}"
                        );
                    }
                }
                for member in &branched.members {
                    let cut = cut(&branched.graph, member, &graph).unwrap();
                    assert_eq!(cut.tensors.len(), graph.tensors.len());
                    for (name, tensor) in &graph.tensors {
                        assert_eq!(cut.tensors[name].data, tensor.data, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_copy_does_not_take_the_name_of_another_value() {
        let mut graph = zoo::build("resnet8", 5, [3, 32, 32], 3).unwrap();
        for (from, to) in [
            ("conv1", "logits@1"),
            ("bn1", "layer2.0.relu2@fork"),
            ("conv1.weight", "layer3.0.conv1.weight@0"),
        ] {
            for node in &mut graph.nodes {
                let values = node.inputs.iter_mut().chain(&mut node.outputs);
                values
                    .filter(|value| *value == from)
                    .for_each(|value| to.clone_into(value));
            }
            if let Some(tensor) = graph.tensors.shift_remove(from) {
                graph.tensors.insert(to.to_owned(), tensor);
            }
        }
        graph.validate().unwrap();
        let branched = branch(&graph, &[fork("layer2.0.relu2", 2)], true).unwrap();
        assert_eq!(branched.members[1].of("logits"), "logits@1_2");
        let original = Network::new(graph, &Device::flex()).unwrap();
        let network = Network::new(branched.graph, &Device::flex()).unwrap();
        let expected = floats(&original, "logits", Mode::Inference);
        for member in &branched.members {
            assert_eq!(floats(&network, member.of("logits"), Mode::Inference), expected);
        }
    }

    #[test]
    fn what_comes_before_is_shared_and_what_follows_is_not() {
        let graph = zoo::build("resnet8", 5, [3, 32, 32], 3).unwrap();
        let branched = branch(&graph, &[fork("layer2.0.relu2", 3)], false).unwrap();
        let names: Vec<&str> = branched.graph.tensors.keys().map(String::as_str).collect();
        assert!(names.contains(&"conv1.weight") && !names.contains(&"conv1.weight@0"));
        assert!(names.contains(&"layer3.0.conv1.weight@2") && !names.contains(&"layer3.0.conv1.weight"));
        assert_eq!(
            branched.members[1].of("layer3.0.bn1.running_mean"),
            "layer3.0.bn1.running_mean@1"
        );
        assert_eq!(branched.members[1].of("layer2.0.relu2"), "layer2.0.relu2");
        assert_eq!(branched.graph.outputs.len(), 3);
    }

    #[test]
    fn forks_one_after_the_other_make_a_tree() {
        let graph = zoo::build("resnet8", 5, [3, 32, 32], 3).unwrap();
        let forks = [fork("layer1.0.relu2", 2), fork("layer2.0.relu2", 3)];
        let branched = branch(&graph, &forks, true).unwrap();
        assert_eq!(branched.members.len(), 6);
        let last = &branched.members[5];
        assert_eq!(last.of("layer2.0.conv1.weight"), "layer2.0.conv1.weight@1");
        assert_eq!(last.of("logits"), "logits@1.2");
        infer(&branched.graph, 2).unwrap();
        let original = Network::new(graph, &Device::flex()).unwrap();
        let network = Network::new(branched.graph, &Device::flex()).unwrap();
        let expected = floats(&original, "logits", Mode::Inference);
        for member in &branched.members {
            assert_eq!(floats(&network, member.of("logits"), Mode::Inference), expected);
        }
        let wrong = branch(network.graph(), &[fork("nowhere", 2)], true);
        assert!(matches!(wrong, Err(GraphError::Branch { .. })));
    }

    #[test]
    fn a_rescaled_fork_divides_the_gradient_of_what_is_shared() {
        let graph = zoo::build("resnet8", 5, [3, 32, 32], 3).unwrap();
        let gradient = |rescale: bool| -> Vec<f32> {
            let branched = branch(&graph, &[fork("layer2.0.relu2", 4)], rescale).unwrap();
            let network = Network::new(branched.graph, &Device::flex().autodiff()).unwrap();
            let outputs = network.forward(pictures(3), &[], Mode::Training).unwrap();
            let each = outputs
                .iter()
                .map(|(_, value)| value.clone().float::<2>().square().sum());
            let gradients = each.reduce(|a: Tensor<1>, b| a + b).unwrap().backward();
            let gradients = burn_optim::GradientsParams::from_grads(gradients, &network);
            let weight = network.weight("conv1.weight").unwrap();
            weight.gradient(&gradients).unwrap().into_data().iter().collect()
        };
        let (plain, rescaled) = (gradient(false), gradient(true));
        let largest = plain.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        assert!(largest > 0.0);
        for (plain, rescaled) in plain.iter().zip(&rescaled) {
            assert!(
                (plain / 4.0 - rescaled).abs() <= 1e-5 * largest,
                "{plain} {rescaled}"
            );
        }
    }

    #[test]
    fn a_value_with_a_way_around_it_is_refused_with_those_that_are_possible() {
        let graph = zoo::build("resnet8", 5, [3, 32, 32], 3).unwrap();
        let error = branch(&graph, &[fork("layer2.0.conv1", 2)], false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("leads around it") && error.contains("layer2.0.relu2"),
            "{error}"
        );
        let error = branch(&graph, &[fork("logits", 2)], false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot branch after `logits`"), "{error}");
        let error = branch(
            &graph,
            &[fork("layer2.0.relu2", 2), fork("layer1.0.relu2", 2)],
            false,
        );
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("does not come after the fork")
        );
    }

    /// The default split of every network is one at which it can part.
    #[test]
    fn every_network_of_the_zoo_parts_at_its_last_stage() {
        for architecture in zoo::architectures() {
            let graph = zoo::build(architecture.name, 5, architecture.input, 0).unwrap();
            let split = zoo::landmarks(architecture.name).unwrap().split;
            let branched = branch(&graph, &[fork(&split, 2)], false).unwrap();
            assert!(
                branched.graph.parameters() < 2 * graph.parameters(),
                "{}",
                architecture.name
            );
        }
    }
}
