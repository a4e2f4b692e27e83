//! What a run leaves: `run.toml` (resolved), `metrics.jsonl`, `checkpoints/`, `student.onnx`,
//! `result.json`.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use potstill_core::files::write_whole;
use potstill_core::train::checkpoint::{Checkpoints, Which};
use potstill_core::train::{Event, Observer};

use crate::config::RunConfig;
use crate::error::RunError;

const CONFIG: &str = "run.toml";
const METRICS: &str = "metrics.jsonl";

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while a run is under way; the system lets go of it with the process.
    _lock: Option<File>,
}

impl RunFolder {
    /// The student with the best validation accuracy.
    pub const STUDENT: &str = "student.onnx";
    /// The student as the last step left it.
    pub const LAST_STUDENT: &str = "student-last.onnx";
    /// The rows of the comparison.
    pub const RESULT: &str = "result.json";

    /// Makes the folder of a new run, or takes up one that is to go on.
    ///
    /// # Errors
    /// A folder that holds another run or is that of one under way, or none where one should go
    /// on; a disk that refuses.
    pub fn open(config: &RunConfig, resume: bool) -> Result<Self, RunError> {
        let path = config.out.clone();
        if resume && !path.join(CONFIG).exists() {
            return Err(RunError::NoRun {
                path,
                missing: CONFIG,
            });
        }
        fs::create_dir_all(&path).map_err(|source| RunError::write(&path, source))?;
        let lock = hold(&path)?;
        let taken = path.join(CONFIG).exists();
        if taken && !resume {
            return Err(RunError::FolderTaken { path });
        }
        remove_leftovers(&path);
        let folder = Self {
            path,
            _lock: Some(lock),
        };
        folder.write(CONFIG, config.to_toml()?.as_bytes())?;
        Ok(folder)
    }

    /// The folder of a run that is there.
    ///
    /// # Errors
    /// A folder without a run.
    pub fn existing(path: &Path) -> Result<(Self, RunConfig), RunError> {
        if !path.join(CONFIG).is_file() {
            return Err(RunError::NoRun {
                path: path.to_owned(),
                missing: CONFIG,
            });
        }
        let config = RunConfig::read(&path.join(CONFIG))?;
        Ok((
            Self {
                path: path.to_owned(),
                _lock: None,
            },
            config,
        ))
    }

    /// The step of the last checkpoint, if there is one.
    ///
    /// # Errors
    /// A checkpoint that cannot be read.
    pub fn checkpoint_step(&self) -> Result<Option<usize>, RunError> {
        let checkpoints = Checkpoints::new(&self.path);
        if !checkpoints.exists(Which::Last) {
            return Ok(None);
        }
        Ok(Some(checkpoints.load(Which::Last)?.state.step))
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file under a temporary name and renames it.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.join(name);
        write_whole(&path, |file| file.write_all(bytes)).map_err(|source| RunError::write(path, source))
    }

    /// The file of metrics, with what steps after `step` wrote taken out: they will be done again.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn metrics(&self, step: usize) -> Result<MetricsFile, RunError> {
        let path = self.join(METRICS);
        if path.exists() {
            let fail = |source| RunError::read(&path, source);
            let mut kept = String::new();
            for line in BufReader::new(fs::File::open(&path).map_err(fail)?).lines() {
                let line = line.map_err(fail)?;
                let done = serde_json::from_str::<serde_json::Value>(&line)
                    .ok()
                    .and_then(|event| event.get("step").and_then(serde_json::Value::as_u64));
                if done.is_some_and(|done| done <= step as u64) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
            self.write(METRICS, kept.as_bytes())?;
        }
        let fail = |source| RunError::write(&path, source);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fail)?;
        Ok(MetricsFile {
            file,
            path: path.clone(),
            failure: None,
        })
    }
}

/// Writes every event of the training as a line of JSON.
#[derive(Debug)]
pub struct MetricsFile {
    file: fs::File,
    path: PathBuf,
    failure: Option<std::io::Error>,
}

impl MetricsFile {
    /// The first write that failed, if one did.
    ///
    /// # Errors
    /// A disk that refused.
    pub fn finish(self) -> Result<(), RunError> {
        match self.failure {
            None => Ok(()),
            Some(source) => Err(RunError::write(self.path, source)),
        }
    }
}

impl Observer for MetricsFile {
    fn observe(&mut self, event: &Event) {
        // Events that tell of files are about this machine, not about the training.
        let of_files = matches!(
            event,
            Event::Checkpoint { .. }
                | Event::TeacherCache { .. }
                | Event::TeacherCacheFault { .. }
                | Event::TeacherOutputs { .. }
        );
        if self.failure.is_some() || of_files {
            return;
        }
        let written = serde_json::to_string(event)
            .map_err(std::io::Error::from)
            .and_then(|line| writeln!(self.file, "{line}"));
        self.failure = written.err();
    }
}
/// Takes a folder for this process alone, until the file is closed. The folder itself is locked, so
/// that no file is left for it; where a disk knows no locks, nothing is held.
fn hold(path: &Path) -> Result<File, RunError> {
    #[cfg(unix)]
    let file = File::open(path);
    #[cfg(not(unix))]
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(".lock"));
    let file = file.map_err(|source| RunError::write(path, source))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(RunError::UnderWay {
            path: path.to_owned(),
        }),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Removes what a killed run was writing. That it stays is no reason to stop.
fn remove_leftovers(path: &Path) {
    for folder in [path.to_owned(), path.join("checkpoints")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".writing-") {
                let _ = fs::remove_file(entry.path());
            } else if name.starts_with(".step-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
