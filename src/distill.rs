//! `potstill distill`: a teacher's ONNX file in, a student's ONNX file out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use burn::train::Interrupter;
use clap::Args;
use potstill_core::graph::Graph;
use potstill_core::plugin::{Plan, Plugin, PluginError, PluginSpec};
use potstill_core::train::{Evaluation, Outcome, Setup, Trainer};
use potstill_exporters::Export;
use potstill_teachers::Teacher;

use crate::comparison::{self, Row};
use crate::config::{DataFlags, DeviceFlags, RunConfig, TrainFlags};
use crate::default_run;
use crate::dry_run;
use crate::error::{CliError, INTERRUPTED};
use crate::export::export_student;
use crate::prepare::{self, Data};
use crate::progress::{Both, LogFormat, Progress};
use crate::run_folder::RunFolder;

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
    /// Student's architecture, as `potstill models` lists them.
    #[arg(long, value_name = "NAME")]
    student: Option<String>,
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

/// TOML's integers are signed, and the run folder keeps the seed in TOML.
const MOST_TOML_HOLDS: u64 = i64::MAX as u64;

impl Distill {
    /// Runs the whole job.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let config = self.resolve()?;
        config.training.check()?;
        let resolved = prepare::device(&config.device, config.threads)?;
        let device_text = format!("{}, {}", resolved.name, resolved.why);
        let device = resolved.device;
        let plugins = build(&config.plugins()?)?;
        let data = Data::open(&config.data)?;
        let train = data.train_loader(&config, &device)?;
        let test = data.test_loader(config.threads, &device)?;
        let picture = train.image_shape();
        let teachers = self.teachers(&config, picture, data.classes(), &device)?;
        let graph = prepare::student(&config, data.classes(), picture)?;
        let export = Export {
            opset: config.export.opset,
            fold: config.export.fold,
            ..Export::default()
        };
        export.check(&graph)?;
        // A plugin that refuses these networks does so before a folder is made.
        let plan = Plan::prepared(
            [&graph],
            networks(&teachers),
            &plugins,
            data.classes(),
            config.training.epochs,
        )?;
        if self.dry_run {
            dry_run::print(out, &config, &plan, &graph, &teachers, &device_text)?;
            return Ok(ExitCode::SUCCESS);
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
        let folder = RunFolder::open(&config, self.resume)?;
        let data = data.whitened(&folder)?;
        let train = data.train_loader(&config, &device)?;
        let test = data.test_loader(config.threads, &device)?;
        let interrupter = interrupter();
        let job = Job {
            config: &config,
            train: &train,
            test: &test,
            graph: &graph,
            device: &device,
        };
        if self.log_format == LogFormat::Human {
            writeln!(
                std::io::stderr(),
                "{} on {}: {} training and {} test pictures, {} classes; {device_text}",
                config.student,
                config.data.name,
                burn::data::dataloader::DataLoader::num_items(&train),
                burn::data::dataloader::DataLoader::num_items(&test),
                data.classes(),
            )?;
        }
        let mut rows = Vec::new();
        if config.baseline && !teachers.is_empty() {
            let by_itself = config.alone();
            let alone = RunFolder::open(&by_itself, self.resume && by_itself.out.exists())?;
            data.keep_whitening(&alone)?;
            let job = Job {
                config: &by_itself,
                ..job
            };
            let progress = Progress::new(self.log_format, "alone");
            let outcome = job.train(&alone, Vec::new(), &[], self.resume, progress, &interrupter)?;
            if outcome.interrupted {
                return interrupted(&config);
            }
            rows.push(job.finish(&alone, &outcome, &data, &format!("{} alone", config.student))?);
        }
        let label = if config.baseline && !teachers.is_empty() {
            "distilled"
        } else {
            ""
        };
        let progress = Progress::new(self.log_format, label);
        let outcome = job.train(&folder, plugins, &teachers, self.resume, progress, &interrupter)?;
        if outcome.interrupted {
            return interrupted(&config);
        }
        let name = if teachers.is_empty() {
            config.student.clone()
        } else {
            format!("{} distilled", config.student)
        };
        rows.push(job.finish(&folder, &outcome, &data, &name)?);
        for teacher in teachers.iter().rev() {
            let found = data.retrieval(&teacher.network, teacher.logits(), config.threads, &device)?;
            rows.insert(0, Row::teacher(teacher, &test)?.finding(found));
        }
        let result = serde_json::to_vec_pretty(&rows).map_err(std::io::Error::from)?;
        folder.write("result.json", &result)?;
        match self.log_format {
            LogFormat::Json => writeln!(
                out,
                "{}",
                serde_json::json!({"event": "result", "networks": rows})
            )?,
            LogFormat::Human => {
                comparison::print(out, &rows)?;
                writeln!(out, "{}", folder.join("student.onnx").display())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// File, run folder or defaults; then the flags.
    fn resolve(&self) -> Result<RunConfig, CliError> {
        let chosen = self.config.is_some()
            || self.data.data.is_some()
            || !self.teacher.is_empty()
            || self.student.is_some()
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
            config.teacher.clone_from(&self.teacher);
        }
        if let Some(student) = &self.student {
            config.student.clone_from(student);
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

    fn teachers(
        &self,
        config: &RunConfig,
        picture: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Vec<Teacher>, CliError> {
        let open = |path: &PathBuf| -> Result<Teacher, CliError> {
            let teacher = if path == Path::new(default_run::TEACHER) {
                default_run::teacher(picture, device)?
            } else {
                Teacher::open(path, picture, device)?
            };
            teacher.check_classes(classes)?;
            Ok(teacher)
        };
        config.teacher.iter().map(open).collect()
    }
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

/// What all trainings of one command share.
#[derive(Clone, Copy)]
struct Job<'a> {
    config: &'a RunConfig,
    train: &'a potstill_core::data::Loader,
    test: &'a potstill_core::data::Loader,
    graph: &'a Graph,
    device: &'a Device,
}

impl Job<'_> {
    fn train(
        &self,
        folder: &RunFolder,
        plugins: Vec<Box<dyn Plugin>>,
        teachers: &[Teacher],
        resume: bool,
        mut progress: Progress,
        interrupter: &Interrupter,
    ) -> Result<Outcome, CliError> {
        let checkpoint = folder.checkpoint_step()?;
        let setup = Setup {
            students: vec![(self.config.student.clone(), self.graph.clone())],
            teachers: teachers.iter().map(prepare::frozen).collect(),
            plugins,
            config: self.config.training.clone(),
            seed: self.config.seed,
            device: self.device.clone(),
            folder: Some(folder.path().to_owned()),
            resume: resume && checkpoint.is_some(),
        };
        let classes = self.graph_classes();
        let trainer = Trainer::new(setup, classes)?;
        let mut metrics = folder.metrics(if resume { checkpoint.unwrap_or(0) } else { 0 })?;
        let mut both = Both(&mut progress, &mut metrics);
        let outcome = trainer.run(self.train, self.test, interrupter, &mut both)?;
        metrics.finish()?;
        Ok(outcome)
    }

    fn graph_classes(&self) -> usize {
        let last = self.graph.outputs.first().and_then(|output| output.dims_at(1));
        last.and_then(|dims| dims.last().copied()).unwrap_or(0)
    }

    /// Exports the best and the last student of a run.
    fn finish(
        &self,
        folder: &RunFolder,
        outcome: &Outcome,
        data: &Data,
        name: &str,
    ) -> Result<Row, CliError> {
        let graph = outcome.best[0].to_graph();
        let top1 = outcome.best_evaluation.unwrap_or(0.0);
        let file = folder.join("student.onnx");
        let written = export_student(self.config, &graph, data, Some(top1), &file)?;
        let last = outcome.last[0].to_graph();
        let evaluation = outcome.evaluation.map(|evaluation: Evaluation| evaluation.top1);
        export_student(
            self.config,
            &last,
            data,
            evaluation,
            &folder.join("student-last.onnx"),
        )?;
        let logits = &graph.outputs[0].name;
        let found = data.retrieval(&outcome.best[0], logits, self.config.threads, self.device)?;
        Ok(Row::student(name, self.graph, top1, written.bytes, outcome.seconds)?.finding(found))
    }
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
    let mut name = format!("{}-{}", config.data.name, config.student);
    for plugin in config
        .plugin
        .iter()
        .filter_map(|table| table.get("name")?.as_str())
    {
        name.push('-');
        name.push_str(plugin);
    }
    let numbered = |number: u32| match number {
        1 => Path::new("runs").join(&name),
        number => Path::new("runs").join(format!("{name}-{number}")),
    };
    (1..)
        .map(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| numbered(1))
}

/// Stops after the step on the first Ctrl-C, at once on the second.
fn interrupter() -> Interrupter {
    let interrupter = Interrupter::new();
    let handle = interrupter.clone();
    // Without a handler, Ctrl-C ends the program as usual; checkpoints are safe either way.
    drop(ctrlc::set_handler(move || {
        if handle.should_stop() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        handle.stop(Some("Ctrl-C"));
    }));
    interrupter
}
