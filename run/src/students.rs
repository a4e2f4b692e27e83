//! From the students that a configuration names to the networks that are trained: one graph for
//! each member, put together as the methods ask.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use potstill_core::graph::{self, Graph, GraphError, Role, StoredTensor};
use potstill_core::passes::branch_points;
use potstill_core::plugin::{Chosen, Plugin, Structure, Students, cohort_of};
use potstill_core::zoo;
use potstill_teachers::{Classifier, decode_file};

use crate::config::{Init, RunConfig};
use crate::error::RunError;

/// Noise on the branches and peers of a student that comes from a file, as a share of each weight's
/// standard deviation: equal members would stay equal.
const NOISE: f32 = 0.1;

/// Builds the students.
///
/// # Errors
/// A name that is neither an architecture nor a file, a number of students that makes no cohort, a
/// value at which a network cannot part.
pub(crate) fn students(
    config: &RunConfig,
    plugins: &[Box<dyn Plugin>],
    classes: usize,
    picture: [usize; 3],
) -> Result<Students, RunError> {
    let cohort = cohort_of(plugins)?;
    let names = &config.student;
    let members = match &cohort {
        Some(cohort) => cohort.members(names.len())?,
        None => names.len(),
    };
    let mut graphs = (0..members)
        .map(|member| {
            let name = names.get(member).or(names.first()).map_or("", String::as_str);
            graph(config, name, member, classes, picture)
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    for graph in &mut graphs {
        for plugin in plugins {
            plugin.rewrite(graph)?;
        }
    }
    let forks = match cohort.as_ref().map(|cohort| &cohort.structure) {
        Some(Structure::Branches { forks, .. }) => forks.len(),
        _ => 0,
    };
    if forks == 0 && !config.split.is_empty() {
        return Err(RunError::Flag {
            flag: "--split",
            got: config.split.join(" "),
            reason: "names where branches part, and no method trains branches here".to_owned(),
        });
    }
    let split = if forks > 0 && config.split.is_empty() {
        default_split(&names[0], &graphs[0], forks)?
    } else {
        config.split.clone()
    };
    Ok(Students::new(cohort.as_ref(), graphs, &split)?)
}

/// The member that a configuration asks for; `None` leaves it to the methods.
///
/// # Errors
/// A name that no member has.
pub(crate) fn chosen(config: &RunConfig, students: &Students) -> Result<Option<Chosen>, RunError> {
    let Some(name) = &config.member else {
        return Ok(None);
    };
    let several = students.members.len() > 1;
    match name.as_str() {
        "best" if several => return Ok(Some(Chosen::Best)),
        "ensemble" if several => return Ok(Some(Chosen::Ensemble)),
        _ => {}
    }
    let known: Vec<&str> = students
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    match known.iter().position(|known| known == name) {
        Some(member) => Ok(Some(Chosen::Member(member))),
        None => Err(RunError::Flag {
            flag: "--member",
            got: name.clone(),
            reason: format!(
                "is no member of this run; known: {}{}",
                known.join(", "),
                if several { ", best, ensemble" } else { "" }
            ),
        }),
    }
}

/// An architecture of the zoo drawn from seed + member, or a file, with the classifier and the
/// weights that the configuration asks for.
fn graph(
    config: &RunConfig,
    name: &str,
    member: usize,
    classes: usize,
    picture: [usize; 3],
) -> Result<Graph, RunError> {
    let seed = config.seed.wrapping_add(member as u64);
    if !is_file(name) {
        return Ok(zoo::build(name, classes, picture, seed)?);
    }
    if let Some(wanted) = config.classes.filter(|wanted| *wanted != classes) {
        return Err(RunError::Flag {
            flag: "--classes",
            got: wanted.to_string(),
            reason: format!("is not what the data has, {classes}"),
        });
    }
    let path = Path::new(name);
    let mut graph = decode_file(path).map_err(|source| RunError::Import {
        path: path.to_owned(),
        source,
    })?;
    let refuse = |source| RunError::Network {
        path: path.to_owned(),
        source,
    };
    if let Some(node) = graph.node_in_integers() {
        let (node, op) = (node.label(), node.op.name());
        return Err(RunError::NoStudent {
            path: path.to_owned(),
            reason: format!(
                "node `{node}` ({op}) computes in integers, which do not learn; give the network in floats that it was made of"
            ),
        });
    }
    graph.single_precision().map_err(refuse)?;
    graph.untie();
    graph.reshape_stored();
    if let Some(classes) = config.classes {
        graph.replace_classifier(classes, seed).map_err(refuse)?;
    }
    if config.init == Init::Random {
        graph.redraw(seed);
    }
    let classifier = Classifier::new(path, graph, picture, &Device::flex())?;
    if classifier.classes != classes {
        return Err(RunError::Flag {
            flag: "--student",
            got: name.to_owned(),
            reason: format!(
                "has {} classes, the data has {classes}; --classes {classes} gives it a new classifier",
                classifier.classes
            ),
        });
    }
    let mut graph = classifier.network.graph().clone();
    if let Some((tensor, number)) = no_number(&graph) {
        return Err(RunError::NoStudent {
            path: path.to_owned(),
            reason: format!(
                "its tensor `{tensor}` holds {number}, expected finite numbers; --init random draws weights anew"
            ),
        });
    }
    let logits = classifier.logits();
    if !graph.follows_from_weights(logits).map_err(refuse)? {
        return Err(RunError::NoStudent {
            path: path.to_owned(),
            reason: format!(
                "its output `{logits}` follows from no stored weight, so that there is nothing to train"
            ),
        });
    }
    if member > 0 && config.init == Init::File {
        disturb(&mut graph, seed);
    }
    Ok(graph)
}

/// A stored weight or statistic that holds NaN or infinity, and which.
fn no_number(graph: &Graph) -> Option<(&str, f32)> {
    let moved = |tensor: &StoredTensor| tensor.role != Role::Constant && tensor.data.dtype().is_float();
    let tensors = graph.tensors.iter().filter(|(_, tensor)| moved(tensor));
    tensors.into_iter().find_map(|(name, tensor)| {
        let number = tensor.data.iter::<f32>().find(|x| !x.is_finite())?;
        Some((name.as_str(), number))
    })
}

fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    path.extension().is_some_and(|extension| extension == "onnx") || path.components().count() > 1
}

fn disturb(network: &mut Graph, seed: u64) {
    for (name, tensor) in &mut network.tensors {
        let dims = tensor.data.shape().to_vec();
        if tensor.role != Role::Weight || dims.len() < 2 || !tensor.data.dtype().is_float() {
            continue;
        }
        let values: Vec<f32> = tensor.data.iter().collect();
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let variance =
            values.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / values.len().max(1) as f32;
        let noise = graph::Init::Normal(NOISE * variance.sqrt()).draw(name, &dims, seed);
        let noisy: Vec<f32> = values
            .iter()
            .zip(noise.iter::<f32>())
            .map(|(x, e)| x + e)
            .collect();
        tensor.data = TensorData::new(noisy, dims).convert_dtype(tensor.data.dtype());
    }
}

/// The last stage of the zoo's networks, the last ones where several forks are asked for.
fn default_split(name: &str, graph: &Graph, forks: usize) -> Result<Vec<String>, RunError> {
    if !is_file(name) {
        let landmarks = zoo::landmarks(name)?;
        if forks == 1 {
            return Ok(vec![landmarks.split]);
        }
        let mut starts: Vec<String> = landmarks.stages;
        starts.pop();
        if starts.len() >= forks {
            return Ok(starts.split_off(starts.len() - forks));
        }
    }
    let refuse = |source| RunError::Network {
        path: name.into(),
        source,
    };
    Err(refuse(GraphError::Branch {
        value: "?".to_owned(),
        reason: format!("{forks} values are to be named with --split"),
        possible: branch_points(graph).map_err(refuse)?,
    }))
}
