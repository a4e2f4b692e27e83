//! A run as it is written: the keys of its TOML file, one table a file, with their defaults. The
//! run folder keeps it as `run.toml`.

mod data;
mod export;
mod teacher;

use std::path::{Path, PathBuf};

use potstill_core::plugin::PluginSpec;
use potstill_core::train::TrainConfig;
use serde::{Deserialize, Serialize};
use toml::Value;

pub use self::data::DataConfig;
pub use self::export::ExportConfig;
pub use self::teacher::{Own, TeacherConfig};
use crate::error::RunError;
use crate::free_run::free_run;

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunConfig {
    /// The student: an architecture of the zoo, or an ONNX file; several for peers that differ.
    #[serde(with = "one_or_many")]
    pub student: Vec<String>,
    /// Values after which the student parts into branches, one for each fork; the last stage of the
    /// zoo's networks where not given.
    pub split: Vec<String>,
    /// Which of several students is the run's result: one's name, best or ensemble; the methods'
    /// choice where not given.
    pub member: Option<String>,
    /// What a student's ONNX file gives: `file` its weights, `random` its architecture alone.
    pub init: Init,
    /// Gives a student's ONNX file a new classifier for so many classes.
    pub classes: Option<usize>,
    /// Teachers: ONNX files, or tables with a `file`; none trains from scratch.
    pub teacher: Vec<TeacherConfig>,
    /// What every random choice follows from.
    pub seed: u64,
    /// Where to compute: auto, cpu, flex, wgpu or cuda.
    pub device: String,
    /// Threads of the CPU; all of them where not given.
    pub threads: Option<usize>,
    /// Also trains the same student alone, with the same budget.
    pub baseline: bool,
    /// Folder that the run leaves; where it is empty, one below `runs` is chosen.
    pub out: PathBuf,
    /// What to learn.
    pub data: DataConfig,
    /// How to train.
    pub training: TrainConfig,
    /// How to write the student.
    pub export: ExportConfig,
    /// The methods, as tables with a `name` and the method's options.
    pub plugin: Vec<PluginSpec>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            student: vec!["resnet8".to_owned()],
            split: Vec::new(),
            member: None,
            init: Init::default(),
            classes: None,
            teacher: Vec::new(),
            seed: 0,
            device: "auto".to_owned(),
            threads: None,
            baseline: false,
            out: PathBuf::new(),
            data: DataConfig::default(),
            training: TrainConfig::default(),
            export: ExportConfig::default(),
            plugin: Vec::new(),
        }
    }
}

/// What a student's ONNX file gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Architecture and weights.
    #[default]
    File,
    /// The architecture; weights are drawn from the seed.
    Random,
}

/// One text, or a list of them.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }

    pub fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        match texts {
            [only] => only.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::One(text) => Ok(vec![text]),
            Written::Many(texts) if texts.is_empty() => Err(serde::de::Error::custom("no student")),
            Written::Many(texts) => Ok(texts),
        }
    }
}

impl std::str::FromStr for RunConfig {
    type Err = toml::de::Error;

    /// Reads TOML.
    fn from_str(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

impl RunConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read, or a key or value that is wrong, with its line.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let text = std::fs::read_to_string(path).map_err(|source| RunError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| RunError::Toml {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// As TOML.
    ///
    /// # Errors
    /// A path that is no UTF-8.
    pub fn to_toml(&self) -> Result<String, RunError> {
        Ok(toml::to_string(self)?)
    }

    /// Refuses to go on with `started` under choices that its steps so far depend on. The length of
    /// the run, its learning rate, the device and where files lie may change.
    ///
    /// # Errors
    /// The first choice that differs.
    pub fn check_goes_on(&self, started: &Self) -> Result<(), RunError> {
        for ((flag, got), (_, began)) in self.fixed()?.into_iter().zip(started.fixed()?) {
            if got != began {
                return Err(RunError::Flag {
                    flag,
                    got,
                    reason: format!(
                        "is not what the run began with, `{began}`; start another one in another --out"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The choices that a run keeps, by their flags.
    fn fixed(&self) -> Result<[(&'static str, String); 12], RunError> {
        let plugins: Vec<String> = self.plugin.iter().map(ToString::to_string).collect();
        let limit = self
            .data
            .limit
            .map_or("none".to_owned(), |limit| limit.to_string());
        Ok([
            ("--student", self.student.join(" ")),
            ("--init", Value::try_from(self.init)?.to_string()),
            (
                "--classes",
                self.classes
                    .map_or("none".to_owned(), |classes| classes.to_string()),
            ),
            ("--split", self.split.join(" ")),
            ("--data", self.data.name.clone()),
            ("--limit", limit),
            ("--plugin", plugins.join(" ")),
            ("--seed", self.seed.to_string()),
            ("--batch-size", self.training.batch_size.to_string()),
            ("--precision", self.training.precision.to_string()),
            ("--teacher-cache", self.training.teacher_cache.to_string()),
            (
                "--optimizer",
                Value::try_from(&self.training.optimizer)?.to_string(),
            ),
        ])
    }

    /// The same student with the same budget and nobody who teaches it, in a folder inside.
    pub fn alone(&self) -> Self {
        Self {
            student: self.student.first().cloned().into_iter().collect(),
            split: Vec::new(),
            member: None,
            teacher: Vec::new(),
            plugin: Vec::new(),
            baseline: false,
            out: self.out.join("alone"),
            ..self.clone()
        }
    }

    /// A folder that is free: `runs/<data>-<student>-<methods>`, with a number where that is taken.
    pub fn free_folder(&self) -> PathBuf {
        let mut name = format!("{}-{}", self.data.name, self.student_names());
        for plugin in &self.plugin {
            name.push('-');
            name.push_str(&plugin.name);
        }
        free_run(&name)
    }

    /// The students' names as a title.
    pub fn student_names(&self) -> String {
        let stem = |name: &String| match Path::new(name).file_stem() {
            Some(stem) if name.ends_with(".onnx") => stem.to_string_lossy().into_owned(),
            _ => name.clone(),
        };
        self.student.iter().map(stem).collect::<Vec<_>>().join("+")
    }

    /// What the student is called that this run leaves.
    pub fn result_name(&self) -> String {
        if self.plugin.is_empty() {
            self.student_names()
        } else {
            format!("{} distilled", self.student_names())
        }
    }

    /// Whether the student is also trained alone: asked for, and not what the run does anyway.
    pub fn has_baseline(&self) -> bool {
        self.baseline && !self.teacher.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_survives_toml() {
        let config = RunConfig::default();
        assert_eq!(
            toml::from_str::<RunConfig>(&config.to_toml().unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn a_run_goes_on_longer_but_not_as_another_run() {
        let started = RunConfig::default();
        let mut longer = started.clone();
        longer.training.epochs += 1;
        longer.check_goes_on(&started).unwrap();
        longer.student = vec!["resnet14".to_owned()];
        let error = longer.check_goes_on(&started).unwrap_err().to_string();
        assert!(
            error.starts_with("--student: `resnet14` is not what the run began with, `resnet8`"),
            "{error}"
        );
    }

    #[test]
    fn methods_are_tables_with_a_name() {
        let text = "[[plugin]]\nname = \"kd\"\ntemperature = 4\n";
        let config: RunConfig = toml::from_str(text).unwrap();
        assert_eq!(config.plugin[0].to_string(), "kd:temperature=4");
        assert!(
            config.to_toml().unwrap().ends_with(text),
            "{}",
            config.to_toml().unwrap()
        );
        let refused = toml::from_str::<RunConfig>("[[plugin]]\ntemperature = 4\n").unwrap_err();
        assert!(refused.message().contains("name = \"kd\""), "{refused}");
    }
}
