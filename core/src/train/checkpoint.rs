//! Everything that a run needs to go on exactly where it stopped.
//!
//! A checkpoint is a folder `step-<n>` with the records of students, auxiliary networks, optimizer
//! and learning rate (Burn's format) and `state.json`. It is written under a temporary name and
//! renamed; the files `last` and `best` then name the folders they mean, and are replaced in the
//! same way. A run that dies while it writes leaves the previous checkpoint.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor, TensorData};
use burn_optim::lr_scheduler::LrSchedulerRecord;
use burn_optim::{ModuleOptimizer, OptimizerRecord};
use indexmap::IndexMap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::distillation::Distillation;
use super::error::TrainError;
use super::sound_record::SoundRecord;
use crate::files::write_whole;
use crate::network::Network;
use crate::plugin::Method;
use crate::task::classification::Tally;
use crate::task::cohort::CohortEvaluation;

/// Which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Last,
    /// The one with the highest validation accuracy.
    Best,
}

impl Which {
    fn file(self) -> &'static str {
        match self {
            Which::Last => "last",
            Which::Best => "best",
        }
    }
}

/// Where a run stands, besides its tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Epochs done, those of the stages before the main one included.
    pub epoch: usize,
    /// Steps done in the current epoch.
    pub batch: usize,
    /// Sums of this epoch's training metrics.
    pub partial: Partial,
    /// The best evaluation so far.
    pub best: Option<CohortEvaluation>,
    /// Epochs since then.
    pub waited: usize,
}

/// Sums over the steps of an epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partial {
    /// Sum of the losses, each times its pictures.
    pub loss: f64,
    /// Sums of the terms, each times its pictures.
    pub terms: IndexMap<String, f64>,
    /// Accuracy.
    pub tally: Tally,
    /// Pictures.
    pub samples: usize,
}

impl Partial {
    /// The means, by name: `train.loss`, `train.top1` where there are logits, `train.<term>`.
    pub fn metrics(&self, has_logits: bool) -> IndexMap<String, f64> {
        let samples = self.samples.max(1) as f64;
        let mut metrics = IndexMap::new();
        metrics.insert("train.loss".to_owned(), self.loss / samples);
        if has_logits {
            metrics.insert("train.top1".to_owned(), self.tally.evaluation().top1);
        }
        for (name, sum) in &self.terms {
            metrics.insert(format!("train.{name}"), sum / samples);
        }
        metrics
    }
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// A run as a checkpoint takes it.
pub struct Progress<'a> {
    /// The networks.
    pub model: &'a Distillation,
    /// The methods, with what they remember.
    pub methods: &'a [Method],
    /// The optimizer with its state.
    pub optimizer: &'a ModuleOptimizer,
    /// The schedule's state.
    pub learning_rate: LrSchedulerRecord,
    /// Where the run stands.
    pub state: &'a State,
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Loaded {
    /// Weights and statistics of the networks that hold the students.
    pub students: ModuleRecord,
    /// Those of the auxiliary networks.
    pub auxiliaries: ModuleRecord,
    /// The optimizer's state.
    pub optimizer: OptimizerRecord,
    /// The schedule's state.
    pub learning_rate: LrSchedulerRecord,
    /// What each method remembers, by its name.
    pub methods: MethodState,
    /// Where the run stood.
    pub state: State,
}

/// Tensors that methods remember, by the method's name.
pub type MethodState = HashMap<String, Vec<(String, Tensor<1>)>>;

fn method_state(methods: &[Method]) -> io::Result<Vec<u8>> {
    let tensors: Vec<(String, usize, Vec<u8>)> = methods
        .iter()
        .flat_map(|method| {
            method.hooks.state().into_iter().map(|(name, tensor)| {
                let values: Vec<f32> = tensor.into_data().iter().collect();
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                (format!("{}/{name}", method.name), values.len(), bytes)
            })
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, count, bytes)| Ok((name, TensorView::new(Dtype::F32, vec![*count], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(io::Error::other)
}

fn read_method_state(bytes: &[u8]) -> Result<MethodState, String> {
    let mut methods = MethodState::new();
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 || view.shape().len() != 1 {
            return Err(format!(
                "`{name}` is {:?} of shape {:?}, expected a row of F32",
                view.dtype(),
                view.shape()
            ));
        }
        let (method, name) = name.split_once('/').unwrap_or((name, ""));
        let values: Vec<f32> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let data = TensorData::new(values, view.shape().to_vec());
        let tensor = Tensor::from_data(data, &Device::flex());
        methods
            .entry(method.to_owned())
            .or_default()
            .push((name.to_owned(), tensor));
    }
    Ok(methods)
}

impl Checkpoints {
    /// The checkpoints in a run's folder.
    pub fn new(run: &Path) -> Self {
        Self {
            folder: run.join("checkpoints"),
        }
    }

    /// Whether there is one.
    pub fn exists(&self, which: Which) -> bool {
        self.folder.join(which.file()).is_file()
    }

    /// Writes a checkpoint and makes it the last one, and the best one if `best`; with `keep`,
    /// later ones do not remove it.
    ///
    /// # Errors
    /// A full or read-only disk; what was there before stays.
    pub fn save(&self, progress: &Progress<'_>, best: bool, keep: bool) -> Result<(), TrainError> {
        let state = progress.state;
        let name = format!("step-{:08}", state.step);
        let target = self.folder.join(&name);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let temporary = tempfile::Builder::new()
                .prefix(".step-")
                .tempdir_in(&self.folder)?;
            let put = |name: &str, bytes: &[u8]| -> io::Result<()> {
                use io::Write;
                let mut file = fs::File::create(temporary.path().join(name))?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            let record = |error: burn::store::RecordError| io::Error::other(error.to_string());
            let students = progress.model.students.clone().into_record();
            put("students.bpk", &students.into_bytes().map_err(record)?)?;
            let auxiliaries = progress.model.auxiliaries.clone().into_record();
            put("auxiliaries.bpk", &auxiliaries.into_bytes().map_err(record)?)?;
            put("optimizer.bpk", &progress.optimizer.into_bytes().map_err(record)?)?;
            let learning_rate = progress.learning_rate.clone();
            put("learning-rate.bpk", &learning_rate.into_bytes().map_err(record)?)?;
            put("methods.safetensors", &method_state(progress.methods)?)?;
            put("state.json", serde_json::to_string_pretty(state)?.as_bytes())?;
            if keep {
                put("keep", b"")?;
            }
            if target.exists() {
                fs::remove_dir_all(&target)?;
            }
            // The folder has its final name from here on; dropping the handle would remove it.
            fs::rename(temporary.keep(), &target)?;
            self.point(Which::Last, &name)?;
            if best {
                self.point(Which::Best, &name)?;
            }
            self.remove_unused()
        };
        write().map_err(|source| TrainError::Write {
            path: target.clone(),
            source,
        })
    }

    fn point(&self, which: Which, name: &str) -> io::Result<()> {
        use io::Write;
        write_whole(&self.folder.join(which.file()), |file| {
            file.write_all(name.as_bytes())
        })
    }

    fn remove_unused(&self) -> io::Result<()> {
        let used: Vec<PathBuf> = [Which::Last, Which::Best]
            .into_iter()
            .filter_map(|which| self.path(which).ok())
            .collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_checkpoint = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("step-"));
            if is_checkpoint && !used.contains(&path) && !path.join("keep").exists() {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }

    /// The folder of a checkpoint.
    ///
    /// # Errors
    /// A run without that checkpoint.
    pub fn path(&self, which: Which) -> Result<PathBuf, TrainError> {
        let pointer = self.folder.join(which.file());
        let refuse = |reason: String| TrainError::Checkpoint {
            path: pointer.clone(),
            reason,
        };
        let name = fs::read_to_string(&pointer).map_err(|error| refuse(error.to_string()))?;
        let plain = name
            .strip_prefix("step-")
            .is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_digit()));
        if !plain {
            return Err(refuse(format!("it names `{name}`, expected step-<number>")));
        }
        Ok(self.folder.join(name))
    }

    /// Puts a checkpoint's weights and statistics into the networks that it was made of.
    ///
    /// # Errors
    /// Networks with other tensors.
    pub fn put(
        &self,
        which: Which,
        record: ModuleRecord,
        networks: Vec<Network>,
    ) -> Result<Vec<Network>, TrainError> {
        networks
            .try_load_record(record)
            .map_err(|error| TrainError::Checkpoint {
                path: self.folder.join(which.file()),
                reason: format!("it belongs to other networks ({error})"),
            })
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A missing or damaged file, with its name.
    pub fn load(&self, which: Which) -> Result<Loaded, TrainError> {
        let folder = self.path(which)?;
        let file = |name: &str| folder.join(name);
        fn refuse(path: PathBuf) -> impl FnOnce(String) -> TrainError {
            move |reason| TrainError::Checkpoint { path, reason }
        }
        let sound = |name: &str| SoundRecord::read(&file(name)).map_err(refuse(file(name)));
        let (students, auxiliaries) = (sound("students.bpk")?, sound("auxiliaries.bpk")?);
        let (optimizer, learning_rate) = (sound("optimizer.bpk")?, sound("learning-rate.bpk")?);
        optimizer
            .check_state_of(&[&students, &auxiliaries])
            .map_err(refuse(file("optimizer.bpk")))?;
        let module = |name: &str, record: SoundRecord| {
            ModuleRecord::from_bytes(record.bytes).map_err(|error| refuse(file(name))(error.to_string()))
        };
        let (students, auxiliaries) = (
            module("students.bpk", students)?,
            module("auxiliaries.bpk", auxiliaries)?,
        );
        let optimizer = OptimizerRecord::from_bytes(optimizer.bytes)
            .map_err(|error| refuse(file("optimizer.bpk"))(error.to_string()))?;
        let learning_rate = LrSchedulerRecord::from_bytes(learning_rate.bytes)
            .map_err(|error| refuse(file("learning-rate.bpk"))(error.to_string()))?;
        let methods = fs::read(file("methods.safetensors"))
            .map_err(|error| error.to_string())
            .and_then(|bytes| read_method_state(&bytes))
            .map_err(refuse(file("methods.safetensors")))?;
        let state = fs::read_to_string(file("state.json"))
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
            .map_err(refuse(file("state.json")))?;
        Ok(Loaded {
            students,
            auxiliaries,
            optimizer,
            learning_rate,
            methods,
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_methods_remember_must_be_rows_of_floats() {
        let refusal = |dtype, shape: &[usize]| {
            let view = TensorView::new(dtype, shape.to_vec(), &[0; 8]).unwrap();
            let bytes = safetensors::serialize([("crd/bank", view)], None).unwrap();
            read_method_state(&bytes).map(|methods| methods["crd"][0].1.dims())
        };
        assert_eq!(refusal(Dtype::F32, &[2]), Ok([2]));
        for (dtype, shape) in [(Dtype::F64, &[1][..]), (Dtype::F32, &[1, 2]), (Dtype::F64, &[])] {
            let error = refusal(dtype, shape).unwrap_err();
            assert!(
                error.contains("`crd/bank`") && error.contains("expected a row of F32"),
                "{error}"
            );
        }
    }
}
