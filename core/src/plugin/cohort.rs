//! Which students a method trains together, and the networks that hold them.
//!
//! A method says what it needs ([`Cohort`]): networks of their own, or branches of one.
//! [`Students`] builds it from one graph for each member, and keeps what is needed to look at a
//! member as if it were alone: its graph, and how its values are called in the network that holds
//! it.

use super::error::PluginError;
use crate::graph::{Graph, GraphError};
use crate::passes::{Fork, Names, branch, cut};

/// What a method trains together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Where the members live.
    pub structure: Structure,
    /// Whether the last member is the one that the others are trained for (OKDDip's group leader).
    pub leader: bool,
}

/// Where the members of a cohort live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structure {
    /// In networks of their own, of the same or of different architectures.
    Networks {
        /// How many; 0 leaves it to the number of students that the user names.
        members: usize,
    },
    /// In branches of one network.
    Branches {
        /// How many branches at each fork, from the input on; their product is the number of
        /// members.
        forks: Vec<usize>,
        /// Whether the gradient that flows back through a fork is divided by its branches.
        rescale: bool,
    },
}

impl Cohort {
    /// The number of members where the user names `given` students.
    ///
    /// # Errors
    /// Neither one student for all members nor one for each.
    pub fn members(&self, given: usize) -> Result<usize, PluginError> {
        let members = match &self.structure {
            Structure::Networks { members: 0 } => given.max(2),
            Structure::Networks { members } => *members,
            Structure::Branches { forks, .. } => forks.iter().product(),
        };
        let branched = matches!(self.structure, Structure::Branches { .. });
        if given == 1 || given == members && !branched {
            return Ok(members);
        }
        Err(PluginError::Students {
            got: given,
            expected: if branched {
                "one, of which the members are branches".to_owned()
            } else {
                format!("one, or one for each of {members} members")
            },
        })
    }
}

/// One student as if it were alone.
#[derive(Clone, Debug)]
pub struct Student {
    /// `student`, `peer0`, `branch2`, `leader`.
    pub name: String,
    /// Which of the networks holds it.
    pub network: usize,
    /// How its values are called there.
    pub names: Names,
    /// Its graph, with its names and initial tensors.
    pub graph: Graph,
}

impl Student {
    /// The value of its graph that holds the logits.
    pub fn logits(&self) -> &str {
        self.graph
            .outputs
            .first()
            .map_or("", |output| output.name.as_str())
    }
}

/// The students of a run and the networks that hold them.
#[derive(Clone, Debug)]
pub struct Students {
    /// What is trained.
    pub networks: Vec<Graph>,
    /// Who is in it.
    pub members: Vec<Student>,
    /// The value at which the network parts first, where the members are branches.
    pub fork: Option<String>,
    /// Whether the last member is a leader.
    pub leader: bool,
}

impl Students {
    /// One student by itself.
    pub fn single(graph: Graph) -> Self {
        Self::networks(vec![graph], "student", false)
    }

    /// Puts a cohort together from one graph for each member. Branches take what is their own from
    /// their graphs, and what is shared from the first; `split` names a value for each fork.
    ///
    /// # Errors
    /// Values at which the network cannot part, with those at which it can.
    pub fn new(cohort: Option<&Cohort>, members: Vec<Graph>, split: &[String]) -> Result<Self, PluginError> {
        let Some(cohort) = cohort else {
            return Ok(Self::networks(members, "student", false));
        };
        let Structure::Branches { forks, rescale } = &cohort.structure else {
            return Ok(Self::networks(members, "peer", cohort.leader));
        };
        if split.len() != forks.len() {
            return Err(PluginError::Splits {
                got: split.len(),
                expected: forks.len(),
            });
        }
        let forks: Vec<Fork> = split
            .iter()
            .zip(forks)
            .map(|(value, branches)| Fork {
                value: value.clone(),
                branches: *branches,
            })
            .collect();
        let Some(original) = members.first() else {
            return Ok(Self::networks(members, "branch", cohort.leader));
        };
        let branched = branch(original, &forks, *rescale)?;
        let mut network = branched.graph;
        for (names, graph) in branched.members.iter().zip(&members).skip(1) {
            for (name, own) in names.iter() {
                if let (Some(drawn), Some(tensor)) = (graph.tensors.get(name), network.tensors.get_mut(own)) {
                    tensor.data = drawn.data.clone();
                }
            }
        }
        let last = branched.members.len().saturating_sub(1);
        let students = branched
            .members
            .into_iter()
            .enumerate()
            .map(|(index, names)| {
                Ok(Student {
                    name: member_name("branch", index, cohort.leader && index == last),
                    network: 0,
                    graph: cut(&network, &names, original)?,
                    names,
                })
            })
            .collect::<Result<Vec<_>, GraphError>>()?;
        Ok(Self {
            networks: vec![network],
            members: students,
            fork: forks.first().map(|fork| fork.value.clone()),
            leader: cohort.leader,
        })
    }

    fn networks(graphs: Vec<Graph>, kind: &str, leader: bool) -> Self {
        let last = graphs.len().saturating_sub(1);
        let members = graphs
            .iter()
            .enumerate()
            .map(|(index, graph)| Student {
                name: if last == 0 {
                    kind.to_owned()
                } else {
                    member_name(kind, index, leader && index == last)
                },
                network: index,
                names: Names::default(),
                graph: graph.clone(),
            })
            .collect();
        Self {
            networks: graphs,
            members,
            fork: None,
            leader,
        }
    }

    /// The members that teach one another: all, or all but the leader.
    pub fn peers(&self) -> std::ops::Range<usize> {
        0..self.members.len() - usize::from(self.leader && self.members.len() > 1)
    }

    /// The names of a member's values in its network: pairs (name there, name alone).
    pub fn names<'a>(
        &'a self,
        member: usize,
        values: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let names = &self.members[member].names;
        values.into_iter().map(|value| (names.of(value), value))
    }

    /// A member as a network of its own, from the trained networks.
    ///
    /// # Errors
    /// Networks of other students.
    pub fn cut(&self, trained: &[Graph], member: usize) -> Result<Graph, PluginError> {
        let student = &self.members[member];
        let graph = trained.get(student.network).unwrap_or(&student.graph);
        Ok(cut(graph, &student.names, &student.graph)?)
    }
}

fn member_name(kind: &str, index: usize, leads: bool) -> String {
    if leads {
        "leader".to_owned()
    } else {
        format!("{kind}{index}")
    }
}
