//! Which of the students is a run's result, as one network.

use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::plugin::{Chosen, Gate, Students};
use potstill_core::train::Trained;

use crate::error::RunError;

/// The students of a training, of which one is its result, or all together.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The students and the networks that hold them.
    pub students: &'a Students,
    /// What weighs their ensemble.
    pub gate: Option<Gate>,
}

impl Selection<'_> {
    /// Which of several students is the run's result; `None` where there is one.
    pub fn member_name(&self, trained: &Trained) -> Option<&str> {
        let members = &self.students.members;
        if members.len() < 2 {
            return None;
        }
        match self.member(trained) {
            Some(member) => members.get(member).map(|member| member.name.as_str()),
            None => Some("ensemble"),
        }
    }

    /// The number of the member that is the run's result; `None` for the ensemble.
    fn member(&self, trained: &Trained) -> Option<usize> {
        match trained.evaluation.as_ref().map(|evaluation| evaluation.chosen) {
            Some(Chosen::Ensemble) => None,
            Some(Chosen::Member(member)) => Some(member),
            _ if self.students.leader => Some(self.students.members.len() - 1),
            _ => Some(0),
        }
    }

    /// The run's result as one network.
    ///
    /// # Errors
    /// Networks of other students.
    pub fn graph(&self, trained: &Trained) -> Result<Graph, RunError> {
        let networks: Vec<Graph> = trained.students.iter().map(Network::to_graph).collect();
        let Some(member) = self.member(trained) else {
            let gate = self.gate.as_ref().and_then(|gate| {
                let network = trained.auxiliaries.get(&gate.auxiliary)?;
                Some((network.to_graph(), gate.fork.as_str()))
            });
            let gate = gate.as_ref().map(|(graph, fork)| (graph, *fork));
            return Ok(self.students.ensemble(&networks, gate)?);
        };
        Ok(self.students.cut(&networks, member)?)
    }
}
