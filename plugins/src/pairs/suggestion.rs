//! What is compared where the options name nothing.

use potstill_core::plugin::Architecture;

use super::stages::stage_ends;

/// What is compared where the options name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// The last feature map of each stage, a stage being what has the same extents; the networks'
    /// last stages match.
    Stages,
    /// The last feature map of the last stage.
    LastStage,
    /// What the activation at the end of each stage reads.
    BeforeActivation,
    /// The features that the classifiers read.
    Features,
}

impl Suggestion {
    /// Values of the student, and as many of the teacher; none where these networks have none.
    pub fn of(self, student: &Architecture<'_>, teacher: &Architecture<'_>) -> (Vec<String>, Vec<String>) {
        if self == Suggestion::Features {
            return match (student.features(), teacher.features()) {
                (Some(guided), Some(hint)) => (vec![guided], vec![hint]),
                _ => (Vec::new(), Vec::new()),
            };
        }
        let (mut guided, mut hint) = (stage_ends(student), stage_ends(teacher));
        if self == Suggestion::BeforeActivation {
            guided = guided.iter().map(|end| before_activation(student, end)).collect();
            hint = hint.iter().map(|end| before_activation(teacher, end)).collect();
        }
        let shared = guided.len().min(hint.len());
        let count = match self {
            Suggestion::LastStage => shared.min(1),
            _ => shared,
        };
        (
            guided.split_off(guided.len() - count),
            hint.split_off(hint.len() - count),
        )
    }
}

/// What the ReLU that made a value reads; the value itself where none did.
fn before_activation(network: &Architecture<'_>, value: &str) -> String {
    let node = network
        .graph
        .producer(value)
        .map(|node| &network.graph.nodes[node]);
    match node {
        Some(node) if node.op.name() == "Relu" => node.inputs.first().cloned().unwrap_or_default(),
        _ => value.to_owned(),
    }
}
