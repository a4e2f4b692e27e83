//! A run as it is written: TOML file, flags and defaults, resolved into one [`RunConfig`] that `--dry-run` prints and the run folder keeps.

use std::path::{Path, PathBuf};

use clap::Args;
use potstill_core::data::{DataError, DataSpec, GlyphOptions, Normalisation, Pipeline, Transform, dataset};
use potstill_core::plugin::PluginSpec;
use potstill_core::train::{OptimizerConfig, ScheduleConfig, TrainConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::CliError;
use crate::teacher_config::TeacherConfig;

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunConfig {
    /// The student: an architecture of the zoo, or an ONNX file; several for peers that differ.
    #[serde(with = "one_or_many")]
    pub student: Vec<String>,
    /// Values after which the student parts into branches, one for each fork; the last stage of the zoo's networks where not given.
    pub split: Vec<String>,
    /// Which of several students is the run's result: one's name, best or ensemble; the methods' choice where not given.
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
    pub plugin: Vec<Table>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
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

/// What to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataConfig {
    /// The data set.
    pub name: String,
    /// The folder or archive that holds it.
    pub dir: Option<PathBuf>,
    /// Fetches what the folder lacks from the data set's public home.
    pub download: bool,
    /// Uses the first so many pictures of each split.
    pub limit: Option<usize>,
    /// Transforms of training pictures; the data set's own where not given.
    pub train: Option<Vec<String>>,
    /// Transforms of test pictures; the data set's own where not given.
    pub test: Option<Vec<String>>,
    /// Mean of each channel, of pixels in 0 to 1; the data set's own where not given.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel; the data set's own where not given.
    pub std: Option<Vec<f32>>,
    /// What takes the place of mean and standard deviation: `gcn`, `zca`, or both in this order.
    pub normalise: Option<Vec<String>>,
    /// What `glyphs` draws.
    pub glyphs: GlyphOptions,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: "glyphs".to_owned(),
            dir: None,
            download: false,
            limit: None,
            train: None,
            test: None,
            mean: None,
            std: None,
            normalise: None,
            glyphs: GlyphOptions::default(),
        }
    }
}

impl DataConfig {
    /// As the core opens it.
    pub fn spec(&self) -> DataSpec {
        DataSpec {
            name: self.name.clone(),
            dir: self.dir.clone(),
            download: self.download,
            glyphs: self.glyphs.clone(),
        }
    }

    /// Transforms and normalisation.
    ///
    /// # Errors
    /// An unknown data set, transform or normalisation; `normalise` beside a mean or standard deviation.
    pub fn pipeline(&self) -> Result<Pipeline, CliError> {
        let mut pipeline = dataset(&self.name)?.pipeline();
        let parse = |texts: &Vec<String>| -> Result<Vec<Transform>, CliError> {
            Ok(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
        };
        if let Some(texts) = &self.train {
            pipeline.train = parse(texts)?;
        }
        if let Some(texts) = &self.test {
            pipeline.test = parse(texts)?;
        }
        if let Some(mean) = &self.mean {
            pipeline.mean = mean.clone();
        }
        if let Some(std) = &self.std {
            pipeline.std = std.clone();
        }
        if let Some(texts) = self.normalise.as_ref().filter(|texts| !texts.is_empty()) {
            for (option, given) in [("mean", &self.mean), ("std", &self.std)] {
                if given.is_some() {
                    return Err(DataError::NormalisedTwice { option }.into());
                }
            }
            pipeline.normalise = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            Normalisation::check_all(&pipeline.normalise)?;
        }
        Ok(pipeline)
    }
}

/// How to write the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportConfig {
    /// ONNX's operator set.
    pub opset: i64,
    /// Folds BatchNorm into convolutions.
    pub fold: bool,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            opset: 17,
            fold: true,
        }
    }
}

impl RunConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read, or a key or value that is wrong, with its line.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(path).map_err(|source| CliError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| CliError::Toml {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// As TOML.
    ///
    /// # Errors
    /// A path that is no UTF-8.
    pub fn to_toml(&self) -> Result<String, CliError> {
        Ok(toml::to_string(self)?)
    }

    /// Refuses to go on with `started` under choices that its steps so far depend on. The length of the run, its learning rate, the device and where
    /// files lie may change.
    ///
    /// # Errors
    /// The first choice that differs.
    pub fn check_goes_on(&self, started: &Self) -> Result<(), CliError> {
        for ((flag, got), (_, began)) in self.fixed()?.into_iter().zip(started.fixed()?) {
            if got != began {
                return Err(CliError::Flag {
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
    fn fixed(&self) -> Result<[(&'static str, String); 12], CliError> {
        let plugins: Vec<String> = self.plugins()?.iter().map(ToString::to_string).collect();
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

    /// The students' names as a title.
    pub fn student_names(&self) -> String {
        let stem = |name: &String| match Path::new(name).file_stem() {
            Some(stem) if name.ends_with(".onnx") => stem.to_string_lossy().into_owned(),
            _ => name.clone(),
        };
        self.student.iter().map(stem).collect::<Vec<_>>().join("+")
    }

    /// The methods with their options.
    ///
    /// # Errors
    /// A table without a name.
    pub fn plugins(&self) -> Result<Vec<PluginSpec>, CliError> {
        let spec = |table: &Table| {
            let mut options = table.clone();
            match options.remove("name") {
                Some(Value::String(name)) => Ok(PluginSpec { name, options }),
                other => Err(CliError::Flag {
                    flag: "[[plugin]]",
                    got: other.map(|name| name.to_string()).unwrap_or_default(),
                    reason: "is no method's name; each such table has one, as `name = \"kd\"`".to_owned(),
                }),
            }
        };
        self.plugin.iter().map(spec).collect()
    }

    /// The table that [`plugins`](Self::plugins) reads back.
    pub fn plugin_table(spec: &PluginSpec) -> Table {
        let mut table = Table::new();
        table.insert("name".to_owned(), Value::String(spec.name.clone()));
        table.extend(spec.options.clone());
        table
    }
}

/// Flags that say which pictures.
#[derive(Debug, Default, Args)]
pub struct DataFlags {
    /// Data set: glyphs, cifar10, cifar100, mnist, fashion-mnist, market1501 or folder (ImageNet's layout).
    #[arg(long, value_name = "NAME")]
    pub data: Option<String>,
    /// Folder or archive that holds the data set.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Fetch what the folder lacks from the data set's public home.
    #[arg(long)]
    pub download: bool,
    /// Use the first N pictures of each split.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl DataFlags {
    /// Lets the flags win over `config`.
    pub fn apply(&self, config: &mut DataConfig) {
        if let Some(name) = &self.data {
            config.name.clone_from(name);
        }
        if let Some(dir) = &self.data_dir {
            config.dir = Some(dir.clone());
        }
        config.download |= self.download;
        config.limit = self.limit.or(config.limit);
    }
}

/// Flags that say where to compute.
#[derive(Debug, Default, Args)]
pub struct DeviceFlags {
    /// Where to compute: auto, cpu, flex, wgpu or cuda.
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of the CPU.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Flags that say how to train.
#[derive(Debug, Default, Args)]
pub struct TrainFlags {
    /// Passes over the training data.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Pictures in a step.
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Stop after N steps in all.
    #[arg(long, value_name = "N")]
    pub max_steps: Option<usize>,
    /// Learning rate that the schedule starts from.
    #[arg(
        long,
        visible_alias = "lr",
        value_name = "RATE",
        allow_negative_numbers = true
    )]
    pub learning_rate: Option<f64>,
    /// Optimizer: sgd, adam or adamw, with options, as `sgd:momentum=0.9,nesterov=true,weight-decay=5e-4`.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    pub optimizer: Option<String>,
    /// Learning rate schedule: constant, cosine, multi-step, one-cycle or reduce-on-plateau, with options, as
    /// `multi-step:milestones=[150,180,210],factor=0.1`.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    pub schedule: Option<String>,
    /// Epochs over which the learning rate rises to its start.
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub warmup: Option<f64>,
    /// What convolutions round their factors to: fp32 or bf16.
    #[arg(long)]
    pub precision: Option<String>,
    /// Largest norm of each tensor's gradient.
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    pub clip_norm: Option<f64>,
    /// Stop when the validation accuracy has not risen for N epochs.
    #[arg(long, value_name = "N")]
    pub early_stopping: Option<usize>,
    /// Keep the checkpoint of every N-th epoch beside the last and the best.
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<usize>,
    /// Measure each loss term's gradient at every N-th step.
    #[arg(long, value_name = "N")]
    pub gradient_report: Option<usize>,
    /// Draw K augmentations of every picture, cycle through them, and keep the teachers' outputs for each in a file; 0 is off.
    #[arg(long, value_name = "K")]
    pub teacher_cache: Option<usize>,
    /// Folder of the teachers' outputs; `teacher-cache` beside the run folder where not given.
    #[arg(long, value_name = "DIR")]
    pub teacher_cache_dir: Option<PathBuf>,
}

impl TrainFlags {
    /// Lets the flags win over `config`.
    ///
    /// # Errors
    /// An optimizer or schedule that does not exist, or one of its options.
    pub fn apply(&self, config: &mut TrainConfig) -> Result<(), CliError> {
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.max_steps = self.max_steps.or(config.max_steps);
        config.learning_rate = self.learning_rate.unwrap_or(config.learning_rate);
        config.warmup = self.warmup.unwrap_or(config.warmup);
        if let Some(precision) = &self.precision {
            config.precision = precision.parse()?;
        }
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        config.early_stopping = self.early_stopping.or(config.early_stopping);
        config.checkpoint_every = self.checkpoint_every.or(config.checkpoint_every);
        config.gradient_report = self.gradient_report.or(config.gradient_report);
        config.teacher_cache = self.teacher_cache.unwrap_or(config.teacher_cache);
        if let Some(dir) = &self.teacher_cache_dir {
            config.teacher_cache_dir = Some(dir.clone());
        }
        if let Some(text) = &self.optimizer {
            config.optimizer = kind::<OptimizerConfig>("--optimizer", text)?;
        }
        if let Some(text) = &self.schedule {
            config.schedule = kind::<ScheduleConfig>("--schedule", text)?;
        }
        Ok(())
    }
}

/// `name:option=value,…` as a tagged configuration.
fn kind<T: serde::de::DeserializeOwned>(flag: &'static str, text: &str) -> Result<T, CliError> {
    let refuse = |reason: String| CliError::Flag {
        flag,
        got: text.to_owned(),
        reason,
    };
    let spec: PluginSpec = text
        .parse()
        .map_err(|_| refuse("is not of the form name:option=value,…".to_owned()))?;
    let mut table = spec.options;
    table.insert("kind".to_owned(), Value::String(spec.name));
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| refuse(format!("is refused: {}", error.message())))
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
    fn flags_read_optimizers_and_schedules_with_their_options() {
        let mut config = TrainConfig::default();
        let flags = TrainFlags {
            optimizer: Some("adamw:weight-decay=0.05".to_owned()),
            schedule: Some("multi-step:milestones=[1.0,2.0]".to_owned()),
            ..TrainFlags::default()
        };
        flags.apply(&mut config).unwrap();
        assert_eq!(
            config.optimizer,
            OptimizerConfig::Adamw {
                beta1: 0.9,
                beta2: 0.999,
                weight_decay: 0.05
            }
        );
        assert_eq!(
            config.schedule,
            ScheduleConfig::MultiStep {
                milestones: vec![1.0, 2.0],
                factor: 0.1
            }
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
    fn an_unknown_optimizer_option_is_refused() {
        let flags = TrainFlags {
            optimizer: Some("sgd:momentun=0.9".to_owned()),
            ..TrainFlags::default()
        };
        let error = flags.apply(&mut TrainConfig::default()).unwrap_err().to_string();
        assert!(error.contains("momentun"), "{error}");
    }
}
