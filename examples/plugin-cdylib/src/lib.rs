//! A method in a library of its own: logit matching. J. Ba, R. Caruana: "Do Deep Nets Really Need
//! to be Deep?", 2014 (arXiv 1312.6184), on regressing logits. L = CE(z_s, y) + λ · MSE(z_s, z_t),
//! z: `[batch, classes]`.
//!
//! From Potstill's folder:
//!
//! ```sh
//! cargo build --release --features dynamic
//! cd examples/plugin-cdylib && cargo build --release
//! ```

use potstill_dylib::burn::tensor::Tensor;
use potstill_dylib::potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_dylib::potstill_core::schedule::Schedule;
use potstill_dylib::{inventory, potstill_core};

potstill_core::plugin_library!();

potstill_core::options! {
    /// Logit matching.
    struct LogitMatching for "logit-matching" {
        /// λ; a number or a schedule
        weight: Schedule = Schedule::Constant(0.1), in 0.0..;
    }
}

impl LogitMatching {
    /// λ · mean (z_s − z_t)² over the batch and the classes; both: `[batch, classes]`.
    fn term(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64) -> Term {
        Term {
            name: "mse",
            value: (student - teacher).square().mean(),
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
