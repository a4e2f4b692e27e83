//! `potstill distill`: a teacher's ONNX file in, a student's ONNX file out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use potstill_core::graph::Graph;
use potstill_core::plugin::{Plan, Plugin, PluginError, PluginSpec};
use potstill_core::train::{GradientReport, Interrupter, TrainError};
use potstill_exporters::Export;
use potstill_teachers::Teacher;

use crate::balance;
use crate::cohort;
use crate::comparison::{self, Row};
use crate::config::{DataFlags, DeviceFlags, Init, RunConfig, TrainFlags};
use crate::default_run;
use crate::dry_run;
use crate::error::{CliError, INTERRUPTED, with_causes};
use crate::prepare::{self, Data};
use crate::progress::{LogFormat, Progress};
use crate::report;
use crate::run_folder::RunFolder;
use crate::teachers;
use crate::training::{self, Job, Pupils};

/// Distil a teacher (ONNX) into a student, and write the student as ONNX.
///
/// Without arguments, the whole job on data that the program draws and a teacher that it brings.
#[derive(Debug, Args)]
pub struct Distill {
    /// Configuration file (TOML); flags win over it.
    config: Option<PathBuf>,
    #[command(flatten)]
    data: DataFlags,
    /// Teacher's ONNX file; several times for several teachers. Without one, the student trains alone.
    #[arg(long, value_name = "FILE")]
    teacher: Vec<PathBuf>,
    /// Student: an architecture, as `potstill models` lists them, or an ONNX file; several times for peers that differ.
    #[arg(long, value_name = "NAME|FILE")]
    student: Vec<String>,
    /// What a student's ONNX file gives: its weights too, or its architecture alone.
    #[arg(long, value_enum)]
    init: Option<Init>,
    /// Give a student's ONNX file a new classifier for N classes.
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Value after which the student parts into branches, for methods that train branches; several times for several forks.
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
    /// Print the weight that would make each soft term's gradient R times that of the loss on the true classes.
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

/// TOML's integers are signed, and the run folder keeps the seed in TOML.
pub const MOST_TOML_HOLDS: u64 = i64::MAX as u64;

impl Distill {
    /// Runs the whole job.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let config = self.resolve()?;
        let conduct = Conduct {
            purpose: if self.dry_run {
                Purpose::Print
            } else {
                Purpose::Train
            },
            resume: self.resume,
            log_format: self.log_format,
            interrupter: &interrupter,
        };
        let ended = carry_out(&config, &conduct, out)?;
        Self::conclude(&config, ended, self.log_format, self.balance, out)
    }

    /// Says how a run ended: the comparison, and with `balance` the weights that its gradients suggest.
    pub fn conclude(
        config: &RunConfig,
        ended: Ended,
        log_format: LogFormat,
        balance: Option<f64>,
        out: &mut impl Write,
    ) -> Result<ExitCode, CliError> {
        let (rows, gradients) = match ended {
            Ended::Unstarted => return Ok(ExitCode::SUCCESS),
            Ended::Interrupted => return interrupted(config),
            Ended::Done { rows, gradients } => (rows, gradients),
        };
        match log_format {
            LogFormat::Json => writeln!(
                out,
                "{}",
                serde_json::json!({"event": "result", "networks": rows})
            )?,
            LogFormat::Human => {
                comparison::print(out, &rows)?;
                if let Some(ratio) = balance {
                    balance::print(out, &gradients, ratio)?;
                }
                for name in ["student.onnx", "report.html"] {
                    writeln!(out, "{}", config.out.join(name).display())?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn work(config: &RunConfig, conduct: &Conduct<'_>, out: &mut impl Write) -> Result<Ended, CliError> {
        let Conduct {
            purpose,
            resume,
            log_format,
            interrupter,
        } = *conduct;
        config.training.check()?;
        let resolved = prepare::device(&config.device, config.threads)?;
        let device_text = format!("{}, {}", resolved.name, resolved.why);
        let device = resolved.device;
        config.training.precision.check(&device)?;
        let plugins = build(&config.plugins()?)?;
        let data = Data::open(&config.data)?;
        let train = data.train_loader(config, &device)?;
        let test = data.test_loader(config.threads, &device)?;
        let picture = train.image_shape();
        let teachers = teachers::open(config, &data, picture, &device)?;
        let students = cohort::students(config, &plugins, data.classes(), picture)?;
        let chosen = cohort::chosen(config, &students)?;
        let export = Export {
            opset: config.export.opset,
            fold: config.export.fold,
            ..Export::default()
        };
        for member in &students.members {
            export.check(&member.graph)?;
        }
        // A plugin that refuses these networks does so before a folder is made.
        let plan = Plan::prepared(
            &students,
            networks(&teachers),
            &plugins,
            data.classes(),
            config.training.epochs,
        )?;
        if let Some(plugin) = plan.keeper_of_momentum() {
            config.training.check_plain_sgd(plugin)?;
        }
        let cache = data.teacher_cache(config)?;
        let keys = cache.as_ref().map(|cache| cache.keys(&plan)).transpose()?;
        let kept = cache.as_ref().zip(keys.as_deref());
        if purpose == Purpose::Print {
            dry_run::print(out, config, &plan, &teachers, kept, &device_text)?;
            return Ok(Ended::Unstarted);
        }
        if plugins.is_empty() && !teachers.is_empty() {
            return Err(CliError::Flag {
                flag: "--teacher",
                got: teachers[0].path.display().to_string(),
                reason: "has no method to teach by; add --plugin kd".to_owned(),
            });
        }
        if test.image_shape() != picture {
            return Err(CliError::PictureShapes {
                train: picture,
                test: test.image_shape(),
            });
        }
        // Which files whitened pictures have is known when the whitening is; then the check waits until they are opened.
        if let Some((cache, keys)) = kept
            && !data.pipeline.whitens()
        {
            cache.check(keys)?;
        }
        if purpose == Purpose::Check {
            return Ok(Ended::Unstarted);
        }
        let folder = RunFolder::open(config, resume)?;
        let data = data.whitened(&folder)?;
        let train = data.train_loader(config, &device)?;
        let test = data.test_loader(config.threads, &device)?;
        let caches = match data.teacher_cache(config)? {
            Some(cache) => cache.open(cache.keys(&plan)?)?,
            None => Vec::new(),
        };
        let interrupter = interrupter();
        let job = Job {
            config,
            train: &train,
            test: &test,
            classes: data.classes(),
            device: &device,
        };
        if log_format == LogFormat::Human {
            writeln!(
                std::io::stderr(),
                "{} on {}: {} training and {} test pictures, {} classes; {device_text}",
                config.student_names(),
                config.data.name,
                train.num_items(),
                test.num_items(),
                data.classes(),
            )?;
        }
        let mut rows = Vec::new();
        if config.baseline && !teachers.is_empty() {
            let by_itself = config.alone();
            let alone = RunFolder::open(&by_itself, resume && by_itself.out.exists())?;
            data.keep_whitening(&alone)?;
            let job = Job {
                config: &by_itself,
                ..job
            };
            let progress = Progress::new(log_format, "alone");
            let student = cohort::students(&by_itself, &[], data.classes(), picture)?;
            let pupils = Pupils {
                students: &student,
                chosen: None,
                gate: None,
            };
            let outcome = job.train(
                &alone,
                &pupils,
                Vec::new(),
                Vec::new(),
                resume,
                progress,
                &interrupter,
            )?;
            if outcome.interrupted {
                return Ok(Ended::Interrupted);
            }
            let name = format!("{} alone", by_itself.student_names());
            rows.extend(job.finish(&alone, &pupils, &outcome, &data, &name)?);
        }
        let label = if config.baseline && !teachers.is_empty() {
            "distilled"
        } else {
            ""
        };
        let progress = Progress::new(log_format, label);
        let pupils = Pupils {
            students: &students,
            chosen,
            gate: training::gate(&plan),
        };
        let outcome = job.train(
            &folder,
            &pupils,
            plugins,
            prepare::frozen(&teachers, caches),
            resume,
            progress,
            &interrupter,
        )?;
        if outcome.interrupted {
            return Ok(Ended::Interrupted);
        }
        let name = if config.plugin.is_empty() {
            config.student_names()
        } else {
            format!("{} distilled", config.student_names())
        };
        rows.extend(job.finish(&folder, &pupils, &outcome, &data, &name)?);
        for teacher in teachers.iter().rev() {
            let found = data.retrieval(&teacher.network, teacher.logits(), config.threads, &device)?;
            rows.insert(0, Row::teacher(teacher, &test)?.finding(found));
        }
        let result = serde_json::to_vec_pretty(&rows).map_err(std::io::Error::from)?;
        folder.write("result.json", &result)?;
        Ok(Ended::Done {
            rows,
            gradients: outcome.gradients,
        })
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
        if !self.student.is_empty() {
            config.student.clone_from(&self.student);
        }
        if !self.split.is_empty() {
            config.split.clone_from(&self.split);
        }
        config.init = self.init.unwrap_or(config.init);
        config.classes = self.classes.or(config.classes);
        config.member = self.member.clone().or(config.member);
        if self.balance.is_some() {
            config.training.gradient_report.get_or_insert(BALANCE_EVERY);
        }
        if !self.plugin.is_empty() {
            config.plugin = self.plugin.iter().map(RunConfig::plugin_table).collect();
        }
        if let Some(device) = &self.device.device {
            config.device.clone_from(device);
        }
        config.threads = self.device.threads.or(config.threads);
        config.seed = self.seed.unwrap_or(config.seed);
        config.baseline |= self.baseline;
        config.export.opset = self.opset.unwrap_or(config.export.opset);
        match &self.out {
            Some(folder) => config.out.clone_from(folder),
            None if config.out.as_os_str().is_empty() => config.out = free_folder(&config),
            None => {}
        }
        if let (Some(folder), true) = (&self.out, self.resume) {
            config.check_goes_on(&RunFolder::existing(folder)?.1)?;
        }
        Ok(config)
    }
}

/// How a resolved run is carried out.
pub struct Conduct<'a> {
    /// To what end.
    pub purpose: Purpose,
    /// Whether the run goes on from its last checkpoint.
    pub resume: bool,
    /// How progress is told.
    pub log_format: LogFormat,
    /// Makes what stops it after a step. Asked where training begins: up to there Ctrl-C ends the program, as there is nothing to save.
    pub interrupter: &'a dyn Fn() -> Interrupter,
}

/// What a resolved run is carried out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To have a student.
    Train,
    /// To see configuration and plan; no folder is made.
    Print,
    /// To know that it would begin: everything is opened, built and checked, and no folder is made.
    Check,
}

/// How a run ended that did not fail.
pub enum Ended {
    /// Before its first step, as nothing else was asked for.
    Unstarted,
    /// By the interrupter.
    Interrupted,
    /// With a student.
    Done {
        /// The comparison.
        rows: Vec<Row>,
        /// The mean of the gradient reports.
        gradients: GradientReport,
    },
}

/// Does what a configuration says, in its folder, and leaves a report there.
///
/// # Errors
/// Whatever of the configuration is not there, does not fit or is refused by a method; training that fails; a disk that refuses.
pub fn carry_out(config: &RunConfig, conduct: &Conduct<'_>, out: &mut impl Write) -> Result<Ended, CliError> {
    let ended = Distill::work(config, conduct, out);
    if let Ok(Ended::Interrupted | Ended::Done { .. }) | Err(CliError::Train(TrainError::NotFinite { .. })) =
        ended
        && let Err(error) = report::write(&config.out)
    {
        // The page is made from the run's files: they are still there, and `potstill report` can be tried again.
        writeln!(std::io::stderr(), "warning: no report: {}", with_causes(&error))?;
    }
    ended
}

fn interrupted(config: &RunConfig) -> Result<ExitCode, CliError> {
    writeln!(
        std::io::stderr(),
        "go on with: potstill distill --resume --out {}",
        config.out.display()
    )?;
    Ok(ExitCode::from(INTERRUPTED))
}

fn networks(teachers: &[Teacher]) -> impl Iterator<Item = &Graph> {
    teachers.iter().map(|teacher| teacher.network.graph())
}

fn build(specs: &[PluginSpec]) -> Result<Vec<Box<dyn Plugin>>, CliError> {
    for (index, spec) in specs.iter().enumerate() {
        if specs[..index].iter().any(|earlier| earlier.name == spec.name) {
            return Err(PluginError::GivenTwice {
                name: spec.name.clone(),
            }
            .into());
        }
    }
    Ok(specs.iter().map(PluginSpec::build).collect::<Result<_, _>>()?)
}

/// `runs/<data>-<student>-<methods>`, with a number where that is taken.
fn free_folder(config: &RunConfig) -> PathBuf {
    let mut name = format!("{}-{}", config.data.name, config.student_names());
    for plugin in config
        .plugin
        .iter()
        .filter_map(|table| table.get("name")?.as_str())
    {
        name.push('-');
        name.push_str(plugin);
    }
    free_run(&name)
}

/// `runs/NAME`, with a number where that is taken.
pub fn free_run(name: &str) -> PathBuf {
    let numbered = |number: u32| match number {
        1 => Path::new("runs").join(name),
        number => Path::new("runs").join(format!("{name}-{number}")),
    };
    (1..)
        .map(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| numbered(1))
}

/// Stops after the step on the first Ctrl-C, at once on the second.
pub fn interrupter() -> Interrupter {
    let interrupter = Interrupter::default();
    let handle = interrupter.clone();
    // Without a handler, Ctrl-C ends the program as usual; checkpoints are safe either way.
    drop(ctrlc::set_handler(move || {
        if handle.reason().is_some() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        handle.stop("Ctrl-C");
    }));
    interrupter
}
