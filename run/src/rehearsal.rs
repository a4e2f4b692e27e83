//! The end of a run before its beginning: what cannot be written after the training is refused
//! before it.

use potstill_core::graph::Graph;
use potstill_core::plugin::Chosen;

use crate::error::RunError;
use crate::planned::Planned;

impl Planned {
    /// Exports whatever can be the run's result as it begins, and runs it in tract once. Nothing is
    /// drawn and nothing is kept, so that training computes what it would without.
    ///
    /// # Errors
    /// [`RunError::Rehearsal`] with the student that cannot be written.
    pub(crate) fn rehearse_export(&self) -> Result<(), RunError> {
        let export = self.config.export.export();
        let rehearse = |name: &str, graph: &Graph| {
            export.check(graph).map_err(|source| RunError::Rehearsal {
                student: name.to_owned(),
                source,
            })
        };
        for (index, member) in self.students.members.iter().enumerate() {
            let named = self.config.student.get(index).or(self.config.student.first());
            rehearse(named.map_or("", String::as_str), &member.graph)?;
        }
        if self.chosen.unwrap_or(self.objective.chosen) == Chosen::Ensemble {
            let gate = self.objective.gate.as_ref().and_then(|gate| {
                let auxiliaries = &self.objective.auxiliaries;
                let network = auxiliaries.iter().find(|one| one.name == gate.auxiliary)?;
                Some((&network.graph, gate.fork.as_str()))
            });
            let ensemble = self.students.ensemble(&self.students.networks, gate)?;
            rehearse("the ensemble", &ensemble)?;
        }
        Ok(())
    }
}
