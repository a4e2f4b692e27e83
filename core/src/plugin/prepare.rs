//! From the methods that a run names to its objective: building, agreeing on a cohort, preparing.

use super::cohort::{Cohort, Students};
use super::error::PluginError;
use super::hooks::Plugin;
use super::objective::{Method, Objective};
use super::plan::Plan;
use super::spec::PluginSpec;
use crate::graph::Graph;
use crate::task::classification;

/// The methods of a run, each as its options configure it.
///
/// # Errors
/// A method that is not registered or is given twice, an option that it does not have or that is
/// outside its range.
pub fn build(specs: &[PluginSpec]) -> Result<Vec<Box<dyn Plugin>>, PluginError> {
    for (index, spec) in specs.iter().enumerate() {
        if specs[..index].iter().any(|earlier| earlier.name == spec.name) {
            return Err(PluginError::GivenTwice {
                name: spec.name.clone(),
            });
        }
    }
    specs.iter().map(PluginSpec::build).collect()
}

/// The cohort that the methods of a run ask for together; `None` where every student is trained for
/// itself.
///
/// # Errors
/// Two methods that ask for different cohorts.
pub fn cohort_of(plugins: &[Box<dyn Plugin>]) -> Result<Option<Cohort>, PluginError> {
    let mut asked: Option<(&'static str, Cohort)> = None;
    for plugin in plugins {
        let Some(cohort) = plugin.cohort() else { continue };
        match &asked {
            Some((first, other)) if *other != cohort => {
                return Err(PluginError::Cohorts {
                    first: (*first).to_owned(),
                    second: plugin.name().to_owned(),
                });
            }
            _ => asked = Some((plugin.name(), cohort)),
        }
    }
    Ok(asked.map(|(_, cohort)| cohort))
}

/// Asks every method what it needs of these networks, in `epochs` epochs of the main stage; where
/// none brings the loss on the true classes, that is added.
///
/// # Errors
/// Networks whose shapes do not fit, a student that has not the data's `classes`, whatever a method
/// refuses.
pub fn prepare<'a>(
    plugins: &[Box<dyn Plugin>],
    students: &'a Students,
    teachers: impl IntoIterator<Item = &'a Graph>,
    classes: usize,
    epochs: usize,
) -> Result<Objective, PluginError> {
    let mut plan = Plan::new(students, teachers, classes, epochs)?;
    for student in &plan.students {
        let dims = student.dims(&student.logits)?;
        let got = dims.last().copied().unwrap_or(0);
        if dims.len() != 2 || got != classes {
            return Err(PluginError::Classes {
                student: student.name.clone(),
                got,
                expected: classes,
            });
        }
    }
    let mut methods = Vec::with_capacity(plugins.len());
    for plugin in plugins {
        let hooks = plugin.prepare(&mut plan)?;
        methods.push(Method {
            name: plugin.name(),
            hooks,
        });
    }
    let mut objective = plan.into_objective();
    objective.methods = methods;
    if !objective.brings_task_term {
        objective.terms.insert(
            classification::TERM.to_owned(),
            classification::FORMULA.to_owned(),
        );
    }
    Ok(objective)
}
