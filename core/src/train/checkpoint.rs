//! Everything that a run needs to go on exactly where it stopped.
//!
//! A checkpoint is a folder `step-<n>` with the records of students, auxiliary networks, optimizer and learning rate (Burn's format) and `state.json`. It is written
//! under a temporary name and renamed; the files `last` and `best` then name the folders they mean, and are replaced in the same way. A
//! run that dies while it writes leaves the previous checkpoint.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::lr_scheduler::LrSchedulerRecord;
use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::distillation::Distillation;
use super::evaluation::{CohortEvaluation, Tally};
use crate::files::write_whole;
use crate::network::Network;

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
    pub terms: indexmap::IndexMap<String, f64>,
    /// Accuracy.
    pub tally: Tally,
    /// Pictures.
    pub samples: usize,
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
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
    /// Where the run stood.
    pub state: State,
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

    /// Writes a checkpoint and makes it the last one, and the best one if `best`; with `keep`, later ones do not remove it.
    ///
    /// # Errors
    /// A full or read-only disk; what was there before stays.
    pub fn save(
        &self,
        module: &Distillation,
        optimizer: &ModuleOptimizer,
        learning_rate: LrSchedulerRecord,
        state: &State,
        best: bool,
        keep: bool,
    ) -> Result<(), TrainError> {
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
            let students = module.students.clone().into_record();
            put("students.bpk", &students.into_bytes().map_err(record)?)?;
            let auxiliaries = module.auxiliaries.clone().into_record();
            put("auxiliaries.bpk", &auxiliaries.into_bytes().map_err(record)?)?;
            put("optimizer.bpk", &optimizer.into_bytes().map_err(record)?)?;
            put(
                "learning-rate.bpk",
                &learning_rate.clone().into_bytes().map_err(record)?,
            )?;
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
        let module = |name: &str| {
            ModuleRecord::load(file(name)).map_err(|error| refuse(file(name))(error.to_string()))
        };
        let (students, auxiliaries) = (module("students.bpk")?, module("auxiliaries.bpk")?);
        let optimizer = OptimizerRecord::load(file("optimizer.bpk"))
            .map_err(|error| refuse(file("optimizer.bpk"))(error.to_string()))?;
        let learning_rate = LrSchedulerRecord::load(file("learning-rate.bpk"))
            .map_err(|error| refuse(file("learning-rate.bpk"))(error.to_string()))?;
        let state = fs::read_to_string(file("state.json"))
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
            .map_err(refuse(file("state.json")))?;
        Ok(Loaded {
            students,
            auxiliaries,
            optimizer,
            learning_rate,
            state,
        })
    }
}
