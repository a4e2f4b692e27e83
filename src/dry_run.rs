//! What `potstill distill --dry-run` prints: the resolved configuration, and the plan as comments, so that all of it is a configuration file.

use std::io::Write;
use std::path::PathBuf;

use potstill_core::graph::summarise;
use potstill_core::plugin::Plan;
use potstill_core::train::{CacheKey, CacheSetup};
use potstill_teachers::Teacher;

use crate::config::RunConfig;
use crate::error::CliError;
use crate::table::{bytes, count, multiply_adds, table};

/// Prints configuration and plan.
///
/// # Errors
/// A network whose shapes cannot be inferred, teacher outputs that no file can hold.
pub fn print(
    out: &mut impl Write,
    config: &RunConfig,
    plan: &Plan<'_>,
    teachers: &[Teacher],
    kept: Option<(&CacheSetup, &[CacheKey])>,
    device: &str,
) -> Result<(), CliError> {
    write!(out, "{}", config.to_toml()?)?;
    let teacher_taps: Vec<String> = plan.teacher_taps().iter().cloned().collect();
    let mut networks = Vec::new();
    for teacher in teachers {
        networks.push((
            teacher.path.display().to_string(),
            "teacher",
            teacher.network.graph(),
            &teacher_taps[..],
        ));
    }
    let student_taps: Vec<Vec<String>> = plan
        .student_taps()
        .iter()
        .map(|taps| taps.iter().cloned().collect())
        .collect();
    for (student, taps) in plan.students.iter().zip(&student_taps) {
        let name = if plan.students.len() == 1 {
            config.student_names()
        } else {
            student.name.clone()
        };
        networks.push((name, "student", student.graph, &taps[..]));
    }
    for auxiliary in plan.auxiliaries() {
        networks.push((auxiliary.name.clone(), "auxiliary", &auxiliary.graph, &[]));
    }
    let mut rows = table(
        ["network", "role", "parameters", "multiply-adds", "input", "taps"],
        2,
    );
    for (name, role, graph, taps) in networks {
        let summary = summarise(graph).map_err(|source| CliError::Network {
            path: PathBuf::from(&name),
            source,
        })?;
        rows.add_row([
            name,
            role.to_owned(),
            count(summary.parameters as u64),
            multiply_adds(summary.multiply_adds),
            graph
                .inputs
                .first()
                .map(|input| input.shape_text())
                .unwrap_or_default(),
            taps.join(", "),
        ]);
    }
    let mut text = format!("\n{rows}\n");
    for (name, formula) in plan.terms() {
        text += &format!("loss term {name}: {formula}\n");
    }
    for stage in plan.stages() {
        text += &format!(
            "stage {} of {}, {} epochs, before the main one\n",
            stage.name, stage.plugin, stage.epochs
        );
    }
    if let Some((cache, keys)) = kept {
        let room = keys.iter().map(CacheKey::file_bytes).sum::<Result<u64, _>>()?;
        text += &format!(
            "teacher outputs: {} views of {} pictures, {} in {}\n",
            cache.pictures.views,
            cache.pictures.samples,
            bytes(room),
            cache.folder.display()
        );
    }
    text += &format!("device: {device}");
    for line in text.lines() {
        writeln!(out, "{}", format!("# {line}").trim_end())?;
    }
    Ok(())
}
