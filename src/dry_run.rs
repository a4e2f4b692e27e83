//! What `potstill distill --dry-run` prints: the resolved configuration, and the plan as comments,
//! so that all of it is a configuration file.

use std::io::Write;
use std::path::PathBuf;

use indexmap::IndexSet;
use potstill_core::graph::{Graph, summarise};
use potstill_core::train::CacheKey;
use potstill_run::{Planned, PlannedCache, RunError};

use crate::error::CliError;
use crate::table::{bytes, count, multiply_adds, table};

/// One network of the plan.
struct Row<'a> {
    name: String,
    role: &'static str,
    graph: &'a Graph,
    taps: Option<&'a IndexSet<String>>,
}

/// Prints configuration and plan.
///
/// # Errors
/// A network whose shapes cannot be inferred, teacher outputs that no file can hold.
pub fn print(out: &mut impl Write, planned: &Planned) -> Result<(), CliError> {
    write!(out, "{}", planned.config.to_toml()?)?;
    let objective = &planned.objective;
    let mut text = format!("\n{}\n", networks(planned)?);
    for (name, formula) in &objective.terms {
        text += &format!("loss term {name}: {formula}\n");
    }
    for stage in &objective.stages {
        text += &format!(
            "stage {} of {}, {} epochs, before the main one\n",
            stage.name, stage.plugin, stage.epochs
        );
    }
    if let Some(PlannedCache { setup, keys }) = &planned.cache {
        let room = keys.iter().map(CacheKey::file_bytes).sum::<Result<u64, _>>()?;
        text += &format!(
            "teacher outputs: {} views of {} pictures, {} in {}\n",
            setup.pictures.views,
            setup.pictures.samples,
            bytes(room),
            setup.folder.display()
        );
    }
    text += &format!("device: {}, {}", planned.device.name, planned.device.why);
    for line in text.lines() {
        writeln!(out, "{}", format!("# {line}").trim_end())?;
    }
    Ok(())
}

/// The table of all networks.
fn networks(planned: &Planned) -> Result<comfy_table::Table, CliError> {
    let objective = &planned.objective;
    let teachers = planned.teachers.iter().map(|teacher| Row {
        name: teacher.path.display().to_string(),
        role: "teacher",
        graph: teacher.network.graph(),
        taps: Some(&objective.teacher_taps),
    });
    let members = &planned.students.members;
    let students = members
        .iter()
        .zip(&objective.student_taps)
        .map(|(student, taps)| Row {
            name: if members.len() == 1 {
                planned.config.student_names()
            } else {
                student.name.clone()
            },
            role: "student",
            graph: &student.graph,
            taps: Some(taps),
        });
    let auxiliaries = objective.auxiliaries.iter().map(|auxiliary| Row {
        name: auxiliary.name.clone(),
        role: "auxiliary",
        graph: &auxiliary.graph,
        taps: None,
    });
    let mut rows = table(
        ["network", "role", "parameters", "multiply-adds", "input", "taps"],
        2,
    );
    for row in teachers.chain(students).chain(auxiliaries) {
        let summary = summarise(row.graph).map_err(|source| RunError::Network {
            path: PathBuf::from(&row.name),
            source,
        })?;
        let taps: Vec<&str> = row.taps.into_iter().flatten().map(String::as_str).collect();
        let input = row.graph.inputs.first();
        rows.add_row([
            row.name,
            row.role.to_owned(),
            count(summary.parameters as u64),
            multiply_adds(summary.multiply_adds),
            input.map(|input| input.shape_text()).unwrap_or_default(),
            taps.join(", "),
        ]);
    }
    Ok(rows)
}
