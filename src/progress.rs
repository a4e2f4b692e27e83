//! What a person sees while a network trains: a bar in a terminal, plain lines when piped, JSON
//! lines for programs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indexmap::IndexMap;
use indicatif::{ProgressBar, ProgressStyle};
use potstill_core::train::{Event, Observer};

use crate::table;

/// How progress is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Plain lines come at most so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells of a run's events on stderr; JSON goes to stdout, as it is what a program reads.
#[derive(Debug)]
pub struct Progress {
    format: LogFormat,
    /// Which of a command's trainings; empty where there is one.
    training: String,
    /// The same as the start of a line.
    label: String,
    bar: Option<ProgressBar>,
    epochs: usize,
    steps: u64,
    told: Instant,
}

impl Progress {
    /// A display.
    pub fn new(format: LogFormat) -> Self {
        Self {
            format,
            label: String::new(),
            training: String::new(),
            bar: None,
            epochs: 0,
            steps: 0,
            told: Instant::now(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // Nobody can be told that stderr is closed.
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn human(&mut self, event: &Event) {
        match event {
            Event::Start {
                epochs,
                steps_per_epoch,
                step,
            } => {
                self.epochs = *epochs;
                self.steps = (*epochs * *steps_per_epoch) as u64;
                if std::io::stderr().is_terminal() {
                    self.bar = Some(self.bar_at(*step as u64));
                }
            }
            Event::Step { step, epoch, .. } => self.step(*step, *epoch, &numbers(event)),
            Event::Epoch { epoch, .. } => {
                self.say(&format!(
                    "{}epoch {epoch}/{}{}",
                    self.label,
                    self.epochs,
                    outcome(event)
                ));
                self.told = Instant::now();
            }
            Event::Stopped { step, reason } => {
                self.say(&format!("{}stopped after step {step}: {reason}", self.label));
            }
            Event::TeacherCache { .. } | Event::TeacherCacheFault { .. } | Event::TeacherOutputs { .. } => {
                self.say(&format!("{}teacher outputs: {}", self.label, outputs(event)));
            }
            Event::Checkpoint { .. } => {}
        }
    }

    fn bar_at(&self, step: u64) -> ProgressBar {
        let bar = ProgressBar::new(self.steps).with_position(step);
        let template = "{prefix}{bar:30} {pos}/{len} steps, {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(self.label.clone());
        bar
    }

    /// Moves the bar; without one, says a line where the last is old enough.
    fn step(&mut self, step: usize, epoch: usize, numbers: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(step as u64);
            bar.set_message(numbers.to_owned());
        } else if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            self.say(&format!(
                "{}epoch {epoch}/{}, step {step}/{}: {numbers}",
                self.label, self.epochs, self.steps
            ));
        }
    }
}

/// The numbers of a step.
fn numbers(event: &Event) -> String {
    let Event::Step {
        loss,
        terms,
        top1,
        learning_rate,
        rate,
        ..
    } = event
    else {
        return String::new();
    };
    let terms: Vec<String> = terms
        .iter()
        .map(|(name, value)| format!("{name} {value:.3}"))
        .collect();
    let top1 = top1
        .map(|top1| format!(" top-1 {top1:.0} %,"))
        .unwrap_or_default();
    let terms = terms.join(", ");
    format!("loss {loss:.3} ({terms}),{top1} lr {learning_rate:.4}, {rate:.0} pictures/s")
}

/// What an epoch has come to.
fn outcome(event: &Event) -> String {
    let Event::Epoch {
        metrics, best, stage, ..
    } = event
    else {
        return String::new();
    };
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
    let loss = metric("train.loss");
    match stage {
        Some(stage) => format!(", stage {stage}: loss {loss:.4}"),
        None => format!(
            ": loss {loss:.3}, training top-1 {:.2} %, validation loss {:.3}, top-1 {:.2} %{}{}",
            metric("train.top1"),
            metric("valid.loss"),
            metric("valid.top1"),
            members(metrics),
            if *best { " (best)" } else { "" }
        ),
    }
}

/// What is said of a file of teachers' outputs.
fn outputs(event: &Event) -> String {
    match event {
        Event::TeacherCache {
            file,
            held,
            of,
            bytes,
        } => format!(
            "{held} of {of} in {}, {} when all are there",
            file.display(),
            table::bytes(*bytes)
        ),
        Event::TeacherCacheFault { file, reason } => format!(
            "{} is not used as it is: {reason}; what is wrong is computed again",
            file.display()
        ),
        Event::TeacherOutputs { file, read, computed } => {
            format!("{read} of {} from {}", read + computed, file.display())
        }
        _ => String::new(),
    }
}

/// ` [branch0 61.20, branch1 60.90, ensemble 62.31]`, where there are several students.
fn members(metrics: &IndexMap<String, f64>) -> String {
    let each: Vec<String> = metrics
        .iter()
        .filter_map(|(name, value)| {
            let member = name.strip_prefix("valid.")?.strip_suffix(".top1")?;
            Some(format!("{member} {value:.2}"))
        })
        .collect();
    if each.is_empty() {
        String::new()
    } else {
        format!(" [{}]", each.join(", "))
    }
}

impl Observer for Progress {
    fn begins(&mut self, training: &str) {
        self.clear();
        self.told = Instant::now();
        self.label = format!("{training}: ");
        training.clone_into(&mut self.training);
    }

    fn observe(&mut self, event: &Event) {
        match self.format {
            LogFormat::Human => self.human(event),
            LogFormat::Json => {
                if let Ok(mut line) = serde_json::to_value(event) {
                    if !self.training.is_empty() {
                        line["training"] = self.training.clone().into();
                    }
                    // A reader that went away is noticed when the result is printed.
                    drop(writeln!(std::io::stdout(), "{line}"));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
