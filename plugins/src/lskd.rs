//! Logit standardisation. S. Sun, W. Ren, J. Li, R. Wang, X. Cao: "Logit Standardization in
//! Knowledge Distillation", 2024 (arXiv 2403.01427), equations 9 to 12.
//!
//! L = w_ce CE(z_s, y) + w(t) T² KL(softmax(Z(z_t) / T) ‖ softmax(Z(z_s) / T)) with Z(z) = (z −
//! mean z) / std z over the classes, z: `[batch, classes]`: a temperature for each picture and
//! network, so that the student need not match the size of the teacher's logits.
//!
//! Departures: `form = code` takes the unbiased deviation plus 1e-7, as the authors' code does; the
//! paper's formula has the biased one.

use burn::tensor::Tensor;
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::options;
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;

use crate::form::Form;

options! {
    /// Distillation of standardised logits.
    pub struct Lskd for "lskd" {
        /// T
        temperature: f64 = 2.0, in above(0.0);
        /// weight of the soft term; a number or a schedule
        weight: Schedule = Schedule::Constant(9.0), in 0.0..;
        /// weight of the cross-entropy
        ce_weight: f64 = 0.1, in 0.0..;
        /// paper: the biased standard deviation; code: the unbiased one plus 1e-7
        form: Form = Form::Paper;
    }
}

impl Lskd {
    /// Z(z).
    fn standardised(&self, logits: Tensor<2>) -> Tensor<2> {
        let classes = logits.dims()[1];
        let centred = logits.clone() - logits.mean_dim(1);
        let sum = centred.clone().square().sum_dim(1);
        let (over, added) = match self.form {
            Form::Paper => (classes, 0.0),
            Form::Code => (classes.saturating_sub(1), 1e-7),
        };
        // Equal logits have no deviation, and the root no slope there.
        let deviation = (sum / over.max(1) as f64).clamp_min(1e-24).sqrt() + added;
        centred / deviation
    }

    fn term(&self, student: Tensor<2>, teacher: Tensor<2>, epoch: f64, share: f64) -> Term {
        let temperature = self.temperature;
        let target = soft_targets(self.standardised(teacher), temperature, 0.0);
        Term {
            name: "kd",
            value: soft_target_loss(self.standardised(student), target, temperature),
            weight: self.weight.at(epoch) * share,
        }
    }
}

impl Plugin for Lskd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.require_teacher(Self::PLUGIN)?;
        plan.brings_task_term();
        plan.declare_term("ce", "w_ce · CE(z_s, y)");
        plan.declare_term("kd", "w(t) · T² · KL(softmax(Z(z_t)/T) ‖ softmax(Z(z_s)/T))");
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let student = record.float("student_logits")?;
        let teacher = record.float_like("teacher_logits", &student)?;
        let labels = record.labels("labels", &student)?;
        let hard = Term {
            name: "ce",
            value: cross_entropy(student.clone(), labels),
            weight: self.ce_weight,
        };
        Ok(vec![hard, self.term(student, teacher, record.epoch(), 1.0)])
    }
}

impl Prepared for Lskd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let teachers = step.teacher_logits()?;
        let share = 1.0 / teachers.len().max(1) as f64;
        let epoch = step.time.epoch;
        let mut terms = Vec::new();
        for (member, student) in step.students.iter().enumerate() {
            if !step.is_turn_of(member) {
                continue;
            }
            let student = student.logits()?;
            terms.push(Term {
                name: "ce",
                value: cross_entropy(student.clone(), step.labels.clone()),
                weight: self.ce_weight,
            });
            for teacher in &teachers {
                terms.push(self.term(student.clone(), teacher.clone(), epoch, share));
            }
        }
        Ok(terms)
    }
}

inventory::submit! {
    PluginEntry::new::<Lskd>(
        "soft targets from logits of mean 0 and deviation 1",
        Paper {
            title: "Logit Standardization in Knowledge Distillation",
            authors: "Sun, Ren, Li, Wang, Cao",
            year: 2024,
            arxiv: "2403.01427",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_terms_and_gradients_agree_with_the_reference() {
        assert_agrees("lskd", "lskd_paper_T2.safetensors", "student_logits");
        assert_agrees("lskd:form=code", "lskd_code_T2.safetensors", "student_logits");
        assert_differs("lskd", "lskd_code_T2.safetensors");
    }
}
