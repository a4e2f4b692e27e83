//! Students and auxiliary networks as one Burn module, with the teachers that supervise them.
//!
//! One step of distillation: teachers run without gradients, students with them, every method's
//! hooks are called in turn, and the weighted terms are summed. `step` has the ways to go on from
//! there.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use indexmap::IndexMap;

use super::error::TrainError;
use super::teacher_cache::TeacherCache;
use super::view::View;
use crate::data::Batch;
use crate::graph::Graph;
use crate::network::{Network, Outputs};
use crate::op::Mode;
use crate::plugin::{Gate, Member, Method, Objective, PluginError, Step, Students, Term, Time, gated};
use crate::precision::Precision;
use crate::task::classification::{self, mean_of_probabilities};
use crate::task::cohort::Predictions;
use crate::value::Value;

/// A network that teaches and does not learn.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The network, on a device without autodiff.
    pub network: Network,
    /// The value that holds its logits.
    pub logits: String,
    /// Where its outputs are kept; `None` computes them at every step.
    pub cache: Option<Arc<TeacherCache>>,
}

impl Frozen {
    /// Named values for the pictures of a batch.
    fn outputs(&self, batch: &Batch, values: &[&str]) -> Result<Outputs, TrainError> {
        let run = |values: &[&str]| -> Result<Outputs, TrainError> {
            let pictures = Value::from(batch.images.clone());
            Ok(self.network.forward_to(pictures, values, Mode::Inference)?)
        };
        match &self.cache {
            Some(cache) => cache.outputs(batch, values, run),
            None => run(values),
        }
    }
}

/// What supervises the students; the same from step to step.
#[derive(Debug)]
pub(super) struct Supervision {
    teachers: Vec<Frozen>,
    auxiliary_names: Vec<String>,
    /// What the main stage needs of each network, then what the stages before it need.
    pub main: View,
    stages: Vec<StageView>,
    peers: std::ops::Range<usize>,
    fork: Option<String>,
    /// What weighs the ensemble.
    gate: Option<Gate>,
    /// Whether the loss on the true classes is added here because no method brings it.
    adds_task_term: bool,
    /// Whether a method asked for the gradient of the loss on the true classes by itself.
    pub separate_task_gradient: bool,
}

/// What the networks gave back for one batch.
#[derive(Clone, Copy)]
pub(super) struct Ran<'a> {
    /// The teachers, without gradients.
    pub teachers: &'a [Member],
    /// The students.
    pub students: &'a [Member],
}

#[derive(Debug)]
struct StageView {
    name: String,
    plugin: &'static str,
    view: View,
}

/// Everything that is trained together.
#[derive(Module, Debug)]
pub struct Distillation {
    /// The networks that hold the students.
    pub students: Vec<Network>,
    /// Regressors, gates: trained beside the students, not exported.
    pub auxiliaries: Vec<Network>,
    #[module(skip)]
    pub(super) supervision: Arc<Supervision>,
}

/// A batch and when it comes.
#[derive(Clone, Debug)]
pub struct TimedBatch {
    /// The pictures.
    pub batch: Batch,
    /// When.
    pub time: Time,
    /// Which of the stages before the main one; `None` is the main one.
    pub stage: Option<usize>,
}

impl Distillation {
    /// Puts the networks of the students and of their objective on a device, which is one without
    /// autodiff. All of them compute in `precision`.
    ///
    /// # Errors
    /// A network that is inconsistent, a precision in which the device does not compute.
    pub fn new(
        students: &Students,
        objective: &Objective,
        teachers: Vec<Frozen>,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, TrainError> {
        precision.check(device)?;
        let autodiff = device.clone().autodiff();
        let put = |graph: &Graph| {
            Ok::<_, TrainError>(Network::new(graph.clone(), &autodiff)?.training_in(precision))
        };
        let teachers = teachers.into_iter().map(|teacher| Frozen {
            network: teacher.network.frozen_in(precision),
            ..teacher
        });
        let networks = students.networks.iter().map(put).collect::<Result<_, _>>()?;
        let auxiliaries = objective
            .auxiliaries
            .iter()
            .map(|auxiliary| put(&auxiliary.graph));
        let auxiliaries = auxiliaries.collect::<Result<_, _>>()?;
        let supervision = Supervision {
            main: View::main(students, objective),
            stages: objective
                .stages
                .iter()
                .map(|stage| StageView {
                    name: stage.name.clone(),
                    plugin: stage.plugin,
                    view: View::stage(students, stage),
                })
                .collect(),
            peers: students.peers(),
            fork: students.fork.clone(),
            gate: objective.gate.clone(),
            auxiliary_names: objective
                .auxiliaries
                .iter()
                .map(|auxiliary| auxiliary.name.clone())
                .collect(),
            adds_task_term: !objective.brings_task_term,
            teachers: teachers.collect(),
            separate_task_gradient: objective.separate_task_gradient,
        };
        Ok(Self {
            students: networks,
            auxiliaries,
            supervision: Arc::new(supervision),
        })
    }

    /// The auxiliary networks by their names.
    pub(super) fn named_auxiliaries(&self) -> impl Iterator<Item = (String, Network)> {
        let names = self.supervision.auxiliary_names.iter().cloned();
        names.zip(self.auxiliaries.iter().cloned())
    }

    /// The files that keep teachers' outputs.
    pub(super) fn caches(&self) -> impl Iterator<Item = &TeacherCache> {
        self.supervision
            .teachers
            .iter()
            .filter_map(|teacher| teacher.cache.as_deref())
    }

    /// The members that teach one another.
    pub fn peers(&self) -> std::ops::Range<usize> {
        self.supervision.peers.clone()
    }

    /// The logits of every member for pictures `[batch, channels, height, width]`, in inference
    /// mode.
    ///
    /// # Errors
    /// Pictures that do not fit.
    pub fn predict(&self, pictures: Tensor<4>) -> Result<Predictions, TrainError> {
        let members = self
            .supervision
            .main
            .run(&self.students, pictures, Mode::Inference)?;
        let logits = members
            .iter()
            .map(Member::logits)
            .collect::<Result<Vec<_>, PluginError>>()?;
        if logits.len() < 2 {
            return Ok(Predictions {
                members: logits,
                ensemble: None,
            });
        }
        let ensemble = match &self.supervision.gate {
            Some(Gate { auxiliary, fork }) => {
                let names = &self.supervision.auxiliary_names;
                let index = names.iter().position(|name| name == auxiliary);
                let gate = index.and_then(|index| self.auxiliaries.get(index));
                let gate = gate.ok_or_else(|| TrainError::Step {
                    reason: "the ensemble's gate is not planned".to_owned(),
                })?;
                let weights = gate.forward(members[0].value(fork)?.clone(), &[], Mode::Inference)?;
                let name = weights.first().map_or("", |(name, _)| name);
                gated(&logits, weights.float(name).map_err(PluginError::from)?)
            }
            None => mean_of_probabilities(&logits[self.supervision.peers.clone()]),
        };
        Ok(Predictions {
            members: logits,
            ensemble: Some(ensemble),
        })
    }

    pub(super) fn view(&self, stage: Option<usize>) -> &View {
        stage.map_or(&self.supervision.main, |stage| {
            &self.supervision.stages[stage].view
        })
    }

    pub(super) fn teachers(&self, batch: &Batch, stage: Option<usize>) -> Result<Vec<Member>, TrainError> {
        let taught = &self.view(stage).teachers;
        let run = |teacher: &Frozen| -> Result<Member, TrainError> {
            let logits = stage.is_none().then_some(teacher.logits.as_str());
            let values: Vec<&str> = logits
                .into_iter()
                .chain(taught.iter().map(String::as_str))
                .collect();
            Ok(Member::new(&teacher.logits, teacher.outputs(batch, &values)?))
        };
        self.supervision.teachers.iter().map(run).collect()
    }

    /// Every method's terms over what the networks gave back.
    pub(super) fn terms(
        &self,
        methods: &mut [Method],
        item: &TimedBatch,
        networks: Ran<'_>,
        turn: Option<usize>,
        mode: Mode,
    ) -> Result<Vec<Term>, TrainError> {
        let Ran { teachers, students } = networks;
        let supervision = &self.supervision;
        let auxiliaries: IndexMap<String, Network> = self.named_auxiliaries().collect();
        let stage = item.stage.map(|stage| &supervision.stages[stage]);
        let labels = item.batch.labels.clone();
        let mut step = Step::new(labels, teachers, students, &auxiliaries, item.time, mode);
        step.indices = &item.batch.indices;
        step.stage = stage.map(|stage| stage.name.as_str());
        step.fork = supervision.fork.as_deref();
        step.turn = turn;
        let at_work = |method: &&mut Method| stage.is_none_or(|stage| stage.plugin == method.name);
        for method in methods.iter_mut().filter(at_work) {
            method.hooks.forward(&mut step)?;
        }
        let mut terms = Vec::new();
        if supervision.adds_task_term && stage.is_none() {
            for (member, student) in students.iter().enumerate() {
                if step.is_turn_of(member) {
                    let labels = item.batch.labels.clone();
                    terms.push(Term {
                        name: classification::TERM,
                        value: classification::loss(student.logits()?, labels),
                        weight: 1.0,
                    });
                }
            }
        }
        for method in methods.iter_mut().filter(at_work) {
            terms.extend(method.hooks.loss(&step)?);
        }
        Ok(terms)
    }
}
