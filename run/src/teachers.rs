//! The teachers of a run: opened, checked, and put behind what makes the data's pictures theirs.
//!
//! A teacher takes the same augmented picture as the student. Where it was trained with another
//! normalisation, size or order of classes, the configuration or the file's own metadata says so,
//! and [`Adaptation`] puts that before and after it.

use std::path::Path;

use burn::tensor::Device;
use potstill_core::data::Pipeline;
use potstill_core::graph::{Graph, ValueInfo};
use potstill_core::names::{did_you_mean, nearest};
use potstill_teachers::{Adaptation, Classifier, CompiledTeacher, compiled, decode, decode_file};

use crate::config::{Own, RunConfig, TeacherConfig};
use crate::data::Data;
use crate::default_run;
use crate::error::RunError;

/// The graph that a teacher's name stands for: a file's, the built-in one's, or a compiled one's,
/// which is on `device` already.
///
/// # Errors
/// A file that cannot be imported, a name that is not compiled in.
pub fn graph(file: &Path, device: &Device) -> Result<Graph, RunError> {
    let named = file.to_str().and_then(|file| file.strip_prefix(compiled::PREFIX));
    if let Some(name) = named {
        return Ok(CompiledTeacher::find(name)?.graph(device)?);
    }
    let decoded = if file == Path::new(default_run::TEACHER) {
        decode(default_run::TEACHER_BYTES, None)
    } else {
        decode_file(file)
    };
    decoded.map_err(|source| RunError::Import {
        path: file.to_owned(),
        source,
    })
}

/// Opens the teachers of a run for pictures `[channels, height, width]`.
///
/// # Errors
/// A file that is no classifier for these pictures and classes, a table that does not fit the data.
pub(crate) fn teachers(
    config: &RunConfig,
    data: &Data,
    picture: [usize; 3],
    device: &Device,
) -> Result<Vec<Classifier>, RunError> {
    let one = |teacher: &TeacherConfig| -> Result<Classifier, RunError> {
        let mut graph = graph(&teacher.file, device)?;
        if let Some(output) = &teacher.own.output {
            take_output(&mut graph, &teacher.file, output)?;
        }
        let adaptation = adaptation(teacher, &graph, data, picture)?;
        let opened = Classifier::adapted(&teacher.file, graph, picture, &adaptation, device)?;
        opened.check_classes(data.classes())?;
        Ok(opened)
    };
    config.teacher.iter().map(one).collect()
}

/// Has a graph give one value alone, which may be any that it has.
fn take_output(graph: &mut Graph, file: &Path, output: &str) -> Result<(), RunError> {
    graph.check_value(output).map_err(|source| RunError::Network {
        path: file.to_owned(),
        source,
    })?;
    let declared = graph.outputs.iter().find(|declared| declared.name == output);
    let value = declared.cloned().unwrap_or_else(|| ValueInfo {
        name: output.to_owned(),
        element: None,
        dims: None,
        doc: String::new(),
    });
    graph.outputs = vec![value];
    Ok(())
}

/// What whoever gave a teacher should know: that its output is one of probabilities.
pub(crate) fn notes(teachers: &[Classifier]) -> Vec<String> {
    let note = |teacher: &Classifier| {
        let graph = teacher.network.graph();
        let node = &graph.nodes[graph.producer(teacher.logits())?];
        let op = node.op.name();
        let before = node.inputs.first()?;
        matches!(op, "Softmax" | "LogSoftmax" | "Sigmoid").then(|| {
            format!(
                "teacher {} ends in {op}, and methods expect logits: they are `{before}`, which --teacher-output \
                 takes",
                teacher.path.display()
            )
        })
    };
    teachers.iter().filter_map(note).collect()
}

fn refuse(key: &'static str, got: String, reason: impl Into<String>) -> RunError {
    RunError::Flag {
        flag: key,
        got,
        reason: reason.into(),
    }
}

fn adaptation(
    teacher: &TeacherConfig,
    graph: &Graph,
    data: &Data,
    [channels, ..]: [usize; 3],
) -> Result<Adaptation, RunError> {
    let Own { size, .. } = teacher.own;
    if let Some(size) = size
        && size.contains(&0)
    {
        return Err(refuse(
            "teacher.size",
            format!("{size:?}"),
            "is no height and width",
        ));
    }
    Ok(Adaptation {
        renormalise: renormalisation(&teacher.own, graph, &data.pipeline, channels)?,
        size,
        classes: classes(&teacher.own, graph, data.train.classes())?,
        ..Adaptation::default()
    })
}

/// From the data's normalisation to the teacher's, if the two differ. What the configuration states
/// counts before what the file does.
fn renormalisation(
    own: &Own,
    graph: &Graph,
    pipeline: &Pipeline,
    channels: usize,
) -> Result<Option<Vec<(f32, f32)>>, RunError> {
    let given = own.mean.is_some() || own.std.is_some();
    if !pipeline.normalise.is_empty() {
        if given {
            let steps: Vec<String> = pipeline.normalise.iter().map(ToString::to_string).collect();
            let reason = "cannot be reached from pictures that the data's `normalise` has prepared";
            return Err(refuse("teacher.mean", steps.join(" "), reason));
        }
        return Ok(None);
    }
    let stated = |key: &str| -> Option<Vec<f32>> {
        let text = graph.model.metadata.get(key)?;
        text.split(',').map(|number| number.trim().parse().ok()).collect()
    };
    let mean = own.mean.clone().or_else(|| stated("potstill.mean"));
    let std = own.std.clone().or_else(|| stated("potstill.std"));
    let mean = mean.unwrap_or_else(|| pipeline.mean.clone());
    let std = std.unwrap_or_else(|| pipeline.std.clone());
    for (key, numbers) in [("teacher.mean", &mean), ("teacher.std", &std)] {
        if numbers.len() != channels && given {
            let reason = format!("is not one number for each of {channels} channels");
            return Err(refuse(key, format!("{numbers:?}"), reason));
        }
    }
    if let Some(zero) = std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(refuse("teacher.std", zero.to_string(), "is no number above 0"));
    }
    if mean.len() != channels || std.len() != channels {
        return Ok(None);
    }
    Ok(Adaptation::between(
        (&pipeline.mean, &pipeline.std),
        (&mean, &std),
    ))
}

/// For each of the data's classes the teacher's, where the teacher has another order or more
/// classes. A file's metadata counts if it names the same classes in another order.
fn classes(own: &Own, graph: &Graph, data: &[String]) -> Result<Option<Vec<usize>>, RunError> {
    let Some(path) = &own.classes else {
        let stated = graph.model.metadata.get("potstill.classes");
        let stated: Option<Vec<String>> = stated.and_then(|text| serde_json::from_str(text).ok());
        let Some(stated) = stated.filter(|stated| stated.len() == data.len() && stated != data) else {
            return Ok(None);
        };
        return Ok(data
            .iter()
            .map(|class| stated.iter().position(|own| own == class))
            .collect());
    };
    let text = std::fs::read_to_string(path).map_err(|source| RunError::read(path, source))?;
    let stated: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let find = |class: &String| -> Result<usize, RunError> {
        let mut places = stated
            .iter()
            .enumerate()
            .filter(|(_, own)| **own == class.as_str());
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(refuse(
                "teacher.classes",
                path.display().to_string(),
                format!("names the class `{class}` twice"),
            )),
            (None, _) => Err(refuse(
                "teacher.classes",
                path.display().to_string(),
                format!(
                    "lacks the data's class `{class}`{}",
                    did_you_mean(&nearest(class, stated.iter().copied(), 3))
                ),
            )),
        }
    };
    data.iter().map(find).collect::<Result<Vec<_>, _>>().map(Some)
}
