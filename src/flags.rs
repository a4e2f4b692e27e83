//! Flags that several subcommands have, and what they change of a configuration.

use std::path::PathBuf;

use clap::Args;
use potstill_core::plugin::PluginSpec;
use potstill_core::train::{OptimizerConfig, ScheduleConfig, TrainConfig};
use potstill_run::DataConfig;
use potstill_run::RunError;
use toml::Value;

use crate::error::CliError;

/// TOML's integers are signed, and the run folder keeps the seed in TOML.
pub const MOST_TOML_HOLDS: u64 = i64::MAX as u64;

/// Flags that say which pictures.
#[derive(Debug, Default, Args)]
pub struct DataFlags {
    /// Data set: glyphs, cifar10, cifar100, mnist, fashion-mnist, market1501 or folder (ImageNet's
    /// layout).
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
    /// Optimizer: sgd, adam or adamw, with options, as
    /// `sgd:momentum=0.9,nesterov=true,weight-decay=5e-4`.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    pub optimizer: Option<String>,
    /// Learning rate schedule: constant, cosine, multi-step, one-cycle or reduce-on-plateau, with
    /// options, as `multi-step:milestones=[150,180,210],factor=0.1`.
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
    /// Draw K augmentations of every picture, cycle through them, and keep the teachers' outputs
    /// for each in a file; 0 is off.
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
    let refuse = |reason: String| {
        CliError::from(RunError::Flag {
            flag,
            got: text.to_owned(),
            reason,
        })
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
    fn an_unknown_optimizer_option_is_refused() {
        let flags = TrainFlags {
            optimizer: Some("sgd:momentun=0.9".to_owned()),
            ..TrainFlags::default()
        };
        let error = flags.apply(&mut TrainConfig::default()).unwrap_err().to_string();
        assert!(error.contains("momentun"), "{error}");
    }
}
