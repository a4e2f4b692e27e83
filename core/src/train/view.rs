//! What a step needs of each network, and how its members find it: several branches read one run.

use burn::tensor::Tensor;
use indexmap::IndexSet;

use super::error::TrainError;
use crate::network::Network;
use crate::op::Mode;
use crate::plugin::{Member, Objective, Stage, Students};
use crate::value::Value;

/// Values of networks, and of the members in them.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Values of each teacher beside its logits.
    pub teachers: Vec<String>,
    /// Values of each of the students' networks.
    networks: Vec<IndexSet<String>>,
    members: Vec<MemberView>,
}

/// Where a member is found.
#[derive(Clone, Debug)]
struct MemberView {
    network: usize,
    logits: String,
    /// Pairs (name in the network, name of the member alone).
    names: Vec<(String, String)>,
}

impl View {
    /// Logits and taps.
    pub fn main(students: &Students, objective: &Objective) -> Self {
        let values = students
            .members
            .iter()
            .zip(&objective.student_taps)
            .map(|(student, taps)| {
                let taps = taps.iter().map(String::as_str);
                std::iter::once(student.logits()).chain(taps).collect()
            });
        let teachers = objective.teacher_taps.iter().cloned().collect();
        Self::new(students, values.collect(), teachers)
    }

    /// What a stage before the main one declares.
    pub fn stage(students: &Students, stage: &Stage) -> Self {
        let values = stage.student_values.iter().map(String::as_str);
        let values = vec![values.collect(); students.members.len()];
        Self::new(students, values, stage.teacher_values.clone())
    }

    fn new(students: &Students, values: Vec<Vec<&str>>, teachers: Vec<String>) -> Self {
        let mut networks = vec![IndexSet::new(); students.networks.len()];
        let mut members = Vec::with_capacity(values.len());
        for (index, values) in values.into_iter().enumerate() {
            let student = &students.members[index];
            let names: Vec<(String, String)> = students
                .names(index, values.iter().copied())
                .map(|(there, alone)| (there.to_owned(), alone.to_owned()))
                .collect();
            networks[student.network].extend(names.iter().map(|(there, _)| there.clone()));
            members.push(MemberView {
                network: student.network,
                logits: student.logits().to_owned(),
                names,
            });
        }
        Self {
            teachers,
            networks,
            members,
        }
    }

    /// Runs every network once on pictures `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// Pictures that do not fit.
    pub fn run(
        &self,
        networks: &[Network],
        pictures: Tensor<4>,
        mode: Mode,
    ) -> Result<Vec<Member>, TrainError> {
        let outputs = networks
            .iter()
            .zip(&self.networks)
            .map(|(network, values)| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                network.forward_to(Value::from(pictures.clone()), &values, mode)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self
            .members
            .iter()
            .map(|view| Member::new(&view.logits, outputs[view.network].renamed(view.pairs())))
            .collect())
    }

    /// Runs the network of one member.
    ///
    /// # Errors
    /// Pictures that do not fit.
    pub fn run_member(
        &self,
        member: usize,
        networks: &[Network],
        pictures: Tensor<4>,
        mode: Mode,
    ) -> Result<Member, TrainError> {
        let view = &self.members[member];
        let values: Vec<&str> = view.names.iter().map(|(there, _)| there.as_str()).collect();
        let outputs = networks[view.network].forward_to(Value::from(pictures), &values, mode)?;
        Ok(Member::new(&view.logits, outputs.renamed(view.pairs())))
    }
}

impl MemberView {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .map(|(there, alone)| (there.as_str(), alone.as_str()))
    }
}
