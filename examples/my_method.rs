//! A distillation method of one's own, registered beside those of the program and run for twenty
//! steps on `glyphs`. The method is logit matching: the student learns the teacher's logits by
//! their mean squared error. `cargo run --release --example my_method`

use std::error::Error;

use potstill_core::prelude::*;
use potstill_run::{Outcome, RunConfig};

options! {
    /// J. Ba, R. Caruana: "Do Deep Nets Really Need to be Deep?", 2014 (arXiv 1312.6184), on
    /// regressing logits.
    ///
    /// L = CE(z_s, y) + λ · MSE(z_s, z_t), z: `[batch, classes]`. The paper trains on the second
    /// term alone, and takes half the sum over the classes; the mean keeps λ independent of their
    /// number.
    struct LogitMatching for "logit-matching" {
        /// λ; a number or a schedule
        weight: Schedule = Schedule::Constant(0.1), in 0.0..;
    }
}

/// The mean of (z_s − z_t)² over the batch and the classes, `[1]`.
///
/// # Shapes
/// both: `[batch, classes]` logits.
fn logit_matching_loss(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    (student - teacher).square().mean()
}

impl LogitMatching {
    fn term(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64) -> Term {
        Term {
            name: "mse",
            value: logit_matching_loss(student, teacher),
            weight: self.weight.at(epoch),
        }
    }
}

impl Plugin for LogitMatching {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        // Without `plan.brings_task_term()` the loop adds the cross-entropy itself.
        plan.declare_term("mse", "λ · MSE(z_s, z_t)");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        Ok(vec![self.term(student, teacher, 0.0)])
    }
}

impl Prepared for LogitMatching {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut terms = Vec::new();
        for student in step.students {
            for teacher in step.teachers {
                terms.push(self.term(student.logits()?, teacher.logits()?, step.time.epoch));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<LogitMatching>(
        "the teacher's logits by their mean squared error",
        Paper {
            title: "Do Deep Nets Really Need to be Deep?",
            authors: "Ba, Caruana",
            year: 2014,
            arxiv: "1312.6184",
        },
    )
}

/// Prints the losses of each epoch.
struct Printed;

impl Observer for Printed {
    fn observe(&mut self, event: &Event) {
        if let Event::Epoch { epoch, metrics, .. } = event {
            let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
            println!(
                "epoch {epoch}: loss {:.3}, ce {:.3}, mse {:.3}; validation top-1 {:.1} %",
                metric("train.loss"),
                metric("train.ce"),
                metric("train.mse"),
                metric("valid.top1"),
            );
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = RunConfig {
        teacher: vec!["model/glyphs-resnet20.onnx".into()],
        student: vec!["resnet8".to_owned()],
        // As `--plugin logit-matching:weight=0.2` would be read.
        plugin: vec!["logit-matching:weight=0.2".parse()?],
        ..RunConfig::default()
    };
    (config.data.glyphs.train, config.data.glyphs.test) = (160, 100);
    config.training.epochs = 4;
    config.training.batch_size = 32;
    config.training.learning_rate = 0.02;

    let run = config.plan()?.open(false)?;
    if let Outcome::Finished(finished) = run.train(&Interrupter::default(), &mut Printed)? {
        println!("{}", finished.student.display());
    }
    Ok(())
}
