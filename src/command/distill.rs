//! `potstill distill`: a teacher's ONNX file in, a student's ONNX file out.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use potstill_core::plugin::PluginSpec;
use potstill_run::{Init, RunConfig, RunFolder, default_run};

use crate::dry_run;
use crate::error::CliError;
use crate::flags::{DataFlags, DeviceFlags, MOST_TOML_HOLDS, TrainFlags};
use crate::progress::LogFormat;
use crate::training::{self, Closing, interrupter};

/// Distil a teacher (ONNX) into a student, and write the student as ONNX.
///
/// Without arguments, the whole job on data that the program draws and a teacher that it brings.
#[derive(Debug, Args)]
pub struct Distill {
    /// Configuration file (TOML); flags win over it.
    config: Option<PathBuf>,
    #[command(flatten)]
    data: DataFlags,
    /// Teacher's ONNX file; several times for several teachers. Without one, the student trains
    /// alone.
    #[arg(long, value_name = "FILE")]
    teacher: Vec<PathBuf>,
    /// The value that holds the teachers' logits, as `potstill inspect` lists them; their first
    /// output where not given.
    #[arg(long, value_name = "VALUE")]
    teacher_output: Option<String>,
    /// Student: an architecture, as `potstill models` lists them, or an ONNX file; several times
    /// for peers that differ.
    #[arg(long, value_name = "NAME|FILE")]
    student: Vec<String>,
    /// What a student's ONNX file gives: its weights too, or its architecture alone.
    #[arg(long, value_enum)]
    init: Option<InitName>,
    /// Give a student's ONNX file a new classifier for N classes.
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Value after which the student parts into branches, for methods that train branches; several
    /// times for several forks.
    #[arg(long, value_name = "VALUE")]
    split: Vec<String>,
    /// Which of several students is the result: one's name, best or ensemble.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    /// Method with its options, as `kd:temperature=4,alpha=0.9`; several times for several methods.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    plugin: Vec<PluginSpec>,
    #[command(flatten)]
    training: TrainFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// What every random choice follows from.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_TOML_HOLDS))]
    seed: Option<u64>,
    /// Folder that the run leaves.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out from its last checkpoint.
    #[arg(long, requires = "out", conflicts_with = "config")]
    resume: bool,
    /// Print the weight that would make each soft term's gradient R times that of the loss on the
    /// true classes.
    #[arg(long, value_name = "R")]
    balance: Option<f64>,
    /// Also train the same student alone, with the same budget, and compare.
    #[arg(long)]
    baseline: bool,
    /// ONNX's operator set of the exported student.
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// How progress is told.
    #[arg(long, value_enum, default_value = "human")]
    log_format: LogFormat,
    /// Print the resolved configuration and the plan, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// Steps between gradient reports where `--balance` asks for them and nothing else does.
const BALANCE_EVERY: usize = 50;

/// What a student's ONNX file gives.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum InitName {
    /// Architecture and weights.
    File,
    /// The architecture; weights are drawn from the seed.
    Random,
}

impl From<InitName> for Init {
    fn from(name: InitName) -> Self {
        match name {
            InitName::File => Init::File,
            InitName::Random => Init::Random,
        }
    }
}

impl Distill {
    /// Runs the whole job.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let planned = self.resolve()?.plan()?;
        if self.dry_run {
            dry_run::print(out, &planned)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (folder, outcome) = training::carry_out(planned, self.resume, self.log_format, &interrupter)?;
        let closing = Closing {
            folder: &folder,
            log_format: self.log_format,
            balance: self.balance,
        };
        closing.tell(outcome, out)
    }

    /// File, run folder or defaults; then the flags.
    fn resolve(&self) -> Result<RunConfig, CliError> {
        let chosen = self.config.is_some()
            || self.data.data.is_some()
            || !self.teacher.is_empty()
            || !self.student.is_empty()
            || !self.plugin.is_empty();
        let mut config = match (&self.config, &self.out) {
            (_, Some(folder)) if self.resume => RunFolder::existing(folder)?.1,
            (Some(path), _) => RunConfig::read(path)?,
            _ if chosen => RunConfig::default(),
            _ => default_run::config()?,
        };
        self.data.apply(&mut config.data);
        self.training.apply(&mut config.training)?;
        if !self.teacher.is_empty() {
            config.teacher = self.teacher.iter().cloned().map(Into::into).collect();
        }
        if let Some(output) = &self.teacher_output {
            for teacher in &mut config.teacher {
                teacher.own.output = Some(output.clone());
            }
        }
        if !self.student.is_empty() {
            config.student.clone_from(&self.student);
        }
        if !self.split.is_empty() {
            config.split.clone_from(&self.split);
        }
        config.init = self.init.map_or(config.init, Init::from);
        config.classes = self.classes.or(config.classes);
        config.member = self.member.clone().or(config.member);
        if self.balance.is_some() {
            config.training.gradient_report.get_or_insert(BALANCE_EVERY);
        }
        if !self.plugin.is_empty() {
            config.plugin.clone_from(&self.plugin);
        }
        if let Some(device) = &self.device.device {
            config.device.clone_from(device);
        }
        config.threads = self.device.threads.or(config.threads);
        config.seed = self.seed.unwrap_or(config.seed);
        config.baseline |= self.baseline;
        config.export.opset = self.opset.unwrap_or(config.export.opset);
        if let Some(folder) = &self.out {
            config.out.clone_from(folder);
        }
        if let (Some(folder), true) = (&self.out, self.resume) {
            config.check_goes_on(&RunFolder::existing(folder)?.1)?;
        }
        Ok(config)
    }
}
