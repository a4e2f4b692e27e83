//! How strongly each loss term pulls, and whether the terms pull the same way: what the weight of a
//! soft term is set by.
//!
//! Each term is differentiated by itself with respect to the students' logits and to their
//! parameters, on a step's own batch and with everything as in that step, except that the running
//! statistics stay. The numbers are those of the weighted terms, as they enter the sum.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_optim::GradientsParams;

use super::distillation::{Distillation, Ran, TimedBatch};
use super::error::TrainError;
use super::gradient_report::GradientReport;
use crate::network::Network;
use crate::op::Mode;
use crate::plugin::{Member, Method, Term};
use crate::value::Value;

impl Distillation {
    /// The report on one batch; `reseed` sets the device's random numbers to those of the step.
    ///
    /// # Errors
    /// What a plugin refuses.
    pub fn gradient_report(
        &self,
        methods: &mut [Method],
        item: &TimedBatch,
        reseed: impl Fn(),
    ) -> Result<GradientReport, TrainError> {
        let teachers = self.teachers(&item.batch, item.stage)?;
        let view = self.view(item.stage);
        let pictures = || item.batch.images.clone();
        let students = || {
            reseed();
            view.run(&self.students, pictures(), Mode::Rehearsal)
        };
        let mut terms = |students: &[Member]| {
            let ran = Ran {
                teachers: &teachers,
                students,
            };
            self.terms(methods, item, ran, None, Mode::Rehearsal)
        };
        let mut names: Vec<&'static str> = Vec::new();
        let mut report = GradientReport::new();
        for term in terms(&students()?)? {
            if !names.contains(&term.name) {
                names.push(term.name);
                report.insert(format!("{}.weight", term.name), term.weight);
            }
        }
        let mut of_parameters = Vec::with_capacity(names.len());
        for name in &names {
            let students = students()?;
            let gradients = match sum_of(terms(&students)?, name) {
                Some(sum) => GradientsParams::from_grads(sum.backward(), &self.students),
                None => GradientsParams::new(),
            };
            of_parameters.push(flat(&self.students, &gradients));
        }
        add(&mut report, &names, "parameters", &of_parameters);
        if item.stage.is_none() {
            let fixed: Vec<Network> = self.students.iter().map(Module::valid).collect();
            reseed();
            let fixed = view.run(&fixed, pictures(), Mode::Rehearsal)?;
            let mut of_logits = Vec::with_capacity(names.len());
            for name in &names {
                let (leaves, students): (Vec<_>, Vec<_>) = fixed
                    .iter()
                    .map(|member| {
                        let leaf = member.logits()?.autodiff().require_grad();
                        let tracked = member.with_logits(Value::from(leaf.clone()));
                        Ok((leaf, tracked))
                    })
                    .collect::<Result<Vec<_>, TrainError>>()?
                    .into_iter()
                    .unzip();
                let gradients = sum_of(terms(&students)?, name).map(|sum| sum.backward());
                let of = |leaf: &Tensor<2>| {
                    let gradient = gradients.as_ref().and_then(|gradients| leaf.grad(gradients));
                    gradient.map(|gradient| gradient.flatten::<1>(0, 1))
                };
                of_logits.push(leaves.iter().map(of).collect());
            }
            add(&mut report, &names, "logits", &of_logits);
        }
        Ok(report)
    }
}

/// The weighted sum of the terms of one name.
fn sum_of(terms: Vec<Term>, name: &str) -> Option<Tensor<1>> {
    let own: Vec<Term> = terms.into_iter().filter(|term| term.name == name).collect();
    let sum = Term::total(&own)?;
    let device = sum.device();
    let tracked = if device.is_autodiff() {
        device
    } else {
        device.autodiff()
    };
    // A leaf of its own: a term that depends on no tracked value has gradients too, all 0.
    Some(sum + Tensor::zeros([1], &tracked).require_grad())
}

/// Each weight's gradient, flattened.
type Flat = Vec<Option<Tensor<1>>>;

fn flat(networks: &[Network], gradients: &GradientsParams) -> Flat {
    networks
        .iter()
        .flat_map(|network| network.gradients(gradients))
        .collect()
}

fn dot(a: &Flat, b: &Flat) -> f64 {
    let products = a.iter().zip(b).filter_map(|pair| match pair {
        (Some(a), Some(b)) => Some((a.clone() * b.clone()).sum()),
        _ => None,
    });
    products
        .reduce(|sum, next| sum + next)
        .map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()))
}

fn add(report: &mut GradientReport, names: &[&'static str], of: &str, gradients: &[Flat]) {
    let norms: Vec<f64> = gradients
        .iter()
        .map(|gradient| dot(gradient, gradient).sqrt())
        .collect();
    for (name, norm) in names.iter().zip(&norms) {
        report.insert(format!("{name}.{of}.norm"), *norm);
    }
    for (i, a) in names.iter().enumerate() {
        for (j, b) in names.iter().enumerate().skip(i + 1) {
            let product = norms[i] * norms[j];
            if product > 0.0 {
                let cosine = dot(&gradients[i], &gradients[j]) / product;
                report.insert(format!("{a}~{b}.{of}.cosine"), cosine.clamp(-1.0, 1.0));
            }
        }
    }
}
