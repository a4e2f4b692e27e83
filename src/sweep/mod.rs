//! `potstill sweep`: the same run with every combination of some of its settings, one after the
//! other, through the same code as `distill`.
//!
//! A sweep's folder holds a run folder per combination, `sweep.toml` (what is swept, so that the
//! sweep can go on), and at the end `sweep.html` and `best.toml`.

mod grid;
mod keys;
mod outcome;
mod summary;

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use potstill_core::files::write_whole;
use potstill_core::train::{Interrupter, TrainError};
use potstill_run::{RunConfig, RunError, default_run, free_run};
use serde::{Deserialize, Serialize};

use self::grid::{Combination, Setting, combinations};
use self::outcome::Outcome;
use self::summary::{Summary, best_configuration};
use crate::error::{CliError, INTERRUPTED};
use crate::flags::{DataFlags, DeviceFlags, MOST_TOML_HOLDS, TrainFlags};
use crate::progress::LogFormat;
use crate::report::{record::Record, write_page};
use crate::training::{carry_out, interrupter};

/// What is swept, in the sweep's folder.
const PLAN: &str = "sweep.toml";
/// The page with the results.
const PAGE: &str = "sweep.html";
/// The best combination as a configuration.
const BEST: &str = "best.toml";

/// Run every combination of some settings, and compare.
///
/// Each is a run as `distill` does it, in a folder of its own. Values of `seed` are repeats: the
/// table has their mean and deviation.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Configuration file (TOML) that all runs start from; flags win over it. Without one, the run
    /// of `distill` without arguments.
    config: Option<PathBuf>,
    /// Key and its values, as `kd.temperature=1,2,5` or `training.learning-rate=0.05,0.1`; several
    /// times for every combination.
    #[arg(long, value_name = "KEY=VALUES", required_unless_present = "resume")]
    set: Vec<Setting>,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    training: TrainFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// What every random choice of every run follows from.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_TOML_HOLDS))]
    seed: Option<u64>,
    /// Folder of the sweep.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the sweep in --out: what is finished stays, what is not goes on from its last
    /// checkpoint.
    #[arg(long, requires = "out")]
    resume: bool,
    /// How progress and results are told.
    #[arg(long, value_enum, default_value = "human")]
    format: LogFormat,
}

/// What is swept: `sweep.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    /// The keys with their values.
    set: Vec<Setting>,
    /// What all runs start from.
    run: RunConfig,
}

impl Sweep {
    /// Runs what is not finished, and compares all.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let folder = match &self.out {
            Some(folder) => folder.clone(),
            None => free_run(&format!("sweep-{}", keys_in_a_name(&self.set))),
        };
        let plan = self.plan(&folder)?;
        let combinations = combinations(&plan.run, &plan.set, &folder)?;
        self.check(&combinations, &folder)?;
        let text = toml::to_string(&plan)?;
        fs::create_dir_all(&folder).map_err(|source| RunError::write(&folder, source))?;
        write(&folder.join(PLAN), &text)?;
        let shared = OnceCell::new();
        // One handler of Ctrl-C for all runs, from the first one on.
        let stop = || shared.get_or_init(interrupter).clone();
        let mut outcomes = Vec::new();
        for (index, combination) in combinations.iter().enumerate() {
            let outcome = if is_finished(combination) {
                Outcome::of(&Record::read(&combination.config.out)?)
            } else {
                self.announce(combination, index + 1, combinations.len(), out)?;
                match self.carry_out(combination, &stop)? {
                    Some(outcome) => outcome,
                    None => {
                        let go_on = format!("potstill sweep --resume --out {}", folder.display());
                        writeln!(std::io::stderr(), "go on with: {go_on}")?;
                        return Ok(ExitCode::from(INTERRUPTED));
                    }
                }
            };
            outcomes.push(outcome);
        }
        let summary = Summary::new(&plan.set, &combinations, &outcomes);
        write_page(
            &summary.page(&plan.run, &folder.display().to_string())?,
            &folder.join(PAGE),
        )?;
        if let Some(best) = summary.best() {
            write(&folder.join(BEST), &best_configuration(best).to_toml()?)?;
        }
        self.conclude(&summary, &folder, out)?;
        Ok(ExitCode::SUCCESS)
    }

    /// File, sweep's folder or default; then the flags.
    fn plan(&self, folder: &Path) -> Result<SweepFile, CliError> {
        let kept = if self.resume {
            Some(SweepFile::read(folder)?)
        } else {
            None
        };
        let (kept_set, kept_run) = kept.map(|plan| (plan.set, plan.run)).unzip();
        let mut run = match (&self.config, kept_run) {
            (Some(path), _) => RunConfig::read(path)?,
            (None, Some(run)) => run,
            (None, None) => default_run::config()?,
        };
        self.data.apply(&mut run.data);
        self.training.apply(&mut run.training)?;
        if let Some(device) = &self.device.device {
            run.device.clone_from(device);
        }
        run.threads = self.device.threads.or(run.threads);
        run.seed = self.seed.unwrap_or(run.seed);
        // Every run has its own folder below the sweep's.
        run.out = PathBuf::new();
        let set = match kept_set {
            Some(set) if self.set.is_empty() => set,
            _ => self.set.clone(),
        };
        Ok(SweepFile { set, run })
    }

    /// Refuses before anything runs what would be refused at some time: each run is opened and
    /// built once.
    fn check(&self, combinations: &[Combination], folder: &Path) -> Result<(), CliError> {
        if !self.resume && folder.join(PLAN).exists() {
            return Err(RunError::FolderTaken {
                path: folder.to_owned(),
            }
            .into());
        }
        for combination in combinations {
            let path = &combination.config.out;
            if path.join("run.toml").exists() {
                if !self.resume {
                    return Err(RunError::FolderTaken { path: path.clone() }.into());
                }
                let began = Record::read(path)?.config;
                if comparable(&began) != comparable(&combination.config) {
                    return Err(RunError::Flag {
                        flag: "--resume",
                        got: path.display().to_string(),
                        reason: "holds a run with other settings; start another sweep in another --out"
                            .to_owned(),
                    }
                    .into());
                }
            }
            let planned = combination.config.clone().plan();
            planned
                .and_then(|planned| planned.check())
                .map_err(|source| CliError::Combination {
                    run: combination.name.clone(),
                    source: Box::new(source.into()),
                })?;
        }
        Ok(())
    }

    /// One run; `None` where it was interrupted. A loss that is no number ends the run and not the
    /// sweep: that, too, is a result.
    fn carry_out(
        &self,
        combination: &Combination,
        stop: &dyn Fn() -> Interrupter,
    ) -> Result<Option<Outcome>, CliError> {
        let config = &combination.config;
        let begun = config.out.join("run.toml").exists();
        let planned = config.clone().plan().map_err(CliError::from);
        let failure = match planned.and_then(|planned| carry_out(planned, begun, self.format, stop)) {
            Ok((_, potstill_run::Outcome::Finished(_))) => None,
            Ok((_, potstill_run::Outcome::Interrupted)) => return Ok(None),
            Err(CliError::Run(RunError::Train(error @ TrainError::NotFinite { .. }))) => {
                Some(error.to_string())
            }
            Err(source) => {
                return Err(CliError::Combination {
                    run: combination.name.clone(),
                    source: Box::new(source),
                });
            }
        };
        if let Some(failure) = &failure {
            writeln!(std::io::stderr(), "{}: {failure}", combination.name)?;
        }
        Ok(Some(Outcome {
            failure,
            ..Outcome::of(&Record::read(&config.out)?)
        }))
    }

    fn announce(
        &self,
        combination: &Combination,
        number: usize,
        of: usize,
        out: &mut impl Write,
    ) -> Result<(), CliError> {
        let name = &combination.name;
        match self.format {
            LogFormat::Human => writeln!(std::io::stderr(), "[{number}/{of}] {name}")?,
            LogFormat::Json => writeln!(
                out,
                "{}",
                serde_json::json!({"event": "run", "run": name, "number": number, "of": of})
            )?,
        }
        // The run's own lines follow by another way.
        out.flush()?;
        Ok(())
    }

    fn conclude(&self, summary: &Summary<'_>, folder: &Path, out: &mut impl Write) -> Result<(), CliError> {
        match self.format {
            LogFormat::Json => writeln!(
                out,
                "{}",
                serde_json::json!({"event": "result", "rows": summary.rows, "best": summary.best().map(|row| &row.runs)})
            )?,
            LogFormat::Human => {
                summary.print(out)?;
                for name in [BEST, PAGE] {
                    if name != BEST || summary.best().is_some() {
                        writeln!(out, "{}", folder.join(name).display())?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl SweepFile {
    fn read(folder: &Path) -> Result<Self, CliError> {
        let path = folder.join(PLAN);
        if !path.is_file() {
            return Err(RunError::NoRun {
                path: folder.to_owned(),
                missing: PLAN,
            }
            .into());
        }
        let text = fs::read_to_string(&path).map_err(|source| RunError::read(&path, source))?;
        let file = toml::from_str(&text).map_err(|error| RunError::Toml {
            path,
            message: error.to_string(),
        })?;
        Ok(file)
    }
}

/// The file that a run writes last.
fn is_finished(combination: &Combination) -> bool {
    combination.config.out.join("result.json").is_file()
}

/// A configuration without what a run's numbers do not depend on: where it is computed, and where
/// files lie.
fn comparable(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    config.out = PathBuf::new();
    config.device = String::new();
    config.threads = None;
    config.data.dir = None;
    config.data.download = false;
    config
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    write_whole(path, |file| file.write_all(text.as_bytes()))
        .map_err(|source| RunError::write(path, source).into())
}

fn keys_in_a_name(settings: &[Setting]) -> String {
    let keys = settings
        .iter()
        .map(|setting| grid::short_key(&setting.key, settings));
    keys.collect::<Vec<_>>().join("-")
}
