//! A planned run carried out for whoever sits before it: progress, Ctrl-C, the report, the closing
//! table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use potstill_core::train::{Interrupter, TrainError};
use potstill_run::{Finished, Outcome, Planned, RunError};

use crate::error::{CliError, INTERRUPTED, with_causes};
use crate::progress::{LogFormat, Progress};
use crate::{balance, comparison, report};

/// Trains what is planned, in its folder, and leaves a report there. `interrupter` makes what stops
/// it after a step. It is asked where training begins: up to there Ctrl-C ends the program, as
/// there is nothing to save. Returns the folder, whose name may have been chosen here, and how it
/// ended.
///
/// # Errors
/// A folder that holds another run, training that fails, a disk that refuses.
pub fn carry_out(
    planned: Planned,
    resume: bool,
    log_format: LogFormat,
    interrupter: &dyn Fn() -> Interrupter,
) -> Result<(PathBuf, Outcome), CliError> {
    if planned.fits_whitening() {
        planned.check()?;
        writeln!(std::io::stderr(), "fitting zca on the training pictures")?;
    }
    let opened = planned.open(resume)?;
    let planned = opened.planned();
    for note in planned.notes() {
        writeln!(std::io::stderr(), "note: {note}")?;
    }
    if log_format == LogFormat::Human {
        writeln!(
            std::io::stderr(),
            "{} on {}: {} training and {} test pictures, {} classes; {}, {}",
            planned.config.student_names(),
            planned.config.data.name,
            planned.train.num_items(),
            planned.test.num_items(),
            planned.data.classes(),
            planned.device.name,
            planned.device.why,
        )?;
    }
    let folder = planned.config.out.clone();
    let outcome = opened.train(&interrupter(), &mut Progress::new(log_format));
    if let Ok(_) | Err(RunError::Train(TrainError::NotFinite { .. })) = outcome
        && let Err(error) = report::write(&folder)
    {
        // The page is made from the run's files: they are still there, and `potstill report` can be
        // tried again.
        writeln!(std::io::stderr(), "warning: no report: {}", with_causes(&error))?;
    }
    Ok((folder, outcome?))
}

/// How a run's end is told.
pub struct Closing<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// For whom.
    pub log_format: LogFormat,
    /// Also which weights would make each soft term's gradient this many times that of the loss on
    /// the true classes.
    pub balance: Option<f64>,
}

impl Closing<'_> {
    /// Prints the comparison and where the student is, or how to go on.
    ///
    /// # Errors
    /// Output that cannot be printed.
    pub fn tell(&self, outcome: Outcome, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let Outcome::Finished(Finished {
            student,
            rows,
            gradients,
        }) = outcome
        else {
            let go_on = format!("potstill distill --resume --out {}", self.folder.display());
            writeln!(std::io::stderr(), "go on with: {go_on}")?;
            return Ok(ExitCode::from(INTERRUPTED));
        };
        if self.log_format == LogFormat::Json {
            let result = serde_json::json!({"event": "result", "networks": rows});
            writeln!(out, "{result}")?;
            return Ok(ExitCode::SUCCESS);
        }
        comparison::print(out, &rows)?;
        if let Some(ratio) = self.balance {
            balance::print(out, &gradients, ratio)?;
        }
        writeln!(out, "{}", student.display())?;
        writeln!(out, "{}", self.folder.join(report::FILE).display())?;
        Ok(ExitCode::SUCCESS)
    }
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
        handle.stop("Ctrl-C or a signal to end");
    }));
    interrupter
}
