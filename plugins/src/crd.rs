//! Contrastive representation distillation. Y. Tian, D. Krishnan, P. Isola: "Contrastive
//! Representation Distillation", 2020 (arXiv 1910.10699), equations 17 to 19.
//!
//! Features of both sides `[batch, features]` are embedded by linear layers and divided by their
//! norm: v. Two banks remember a v of every picture of the training set, mixed with each new one.
//! For a picture i, its own entry of the other side's bank is the positive and K others are
//! negatives: P_ij = exp(v_i · m_j / T) / Z, and L = −1/B Σ_i [log P_i+ / (P_i+ + K/N) + Σ_j log
//! (K/N) / (P_ij + K/N)] for each side, N the pictures of the training set.
//!
//! As in the authors' code, Z is a constant, N times the mean of exp(·) over the first batch, and
//! 1e-7 is added to the denominators. All products with a bank are computed at once, and those with
//! the negatives are taken from them: at N = 50,000 that is cheaper than to gather K vectors for
//! each picture.

use burn::tensor::{Device, Distribution, IndexingUpdateOp, Int, Tensor, TensorData};
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};

use crate::features;
use crate::layers::{self, linear};
use crate::pairs::{self, Pairs, PreparedPairs, Suggestion, pair_options};

const STUDENT: &str = "crd.student";
const TEACHER: &str = "crd.teacher";
/// Added to denominators by the reference code.
const EPSILON: f64 = 1e-7;

pair_options! {
    /// Contrastive representation distillation.
    pub struct Crd for "crd", check Crd::check {
        /// β; a number or a schedule
        weight = 0.8;
        /// K
        negatives: usize = 16_384, in 1..;
        /// features of an embedding
        embedding: usize = 128, in 1..;
        /// T
        temperature: f64 = 0.07, in above(0.0);
        /// how much of a remembered embedding stays when a new one comes
        momentum: f64 = 0.5, in 0.0..1.0;
    }
}

/// What is remembered of the training set.
#[derive(Clone, Debug)]
struct Banks {
    /// The student's embeddings `[pictures, embedding]`, which the teacher's are compared with.
    student: Tensor<2>,
    /// The teacher's.
    teacher: Tensor<2>,
    /// Z of the student's side and of the teacher's; not yet known before the first step.
    scales: Option<[f64; 2]>,
}

/// The method at work.
#[derive(Debug)]
struct PreparedCrd {
    method: Crd,
    pairs: PreparedPairs,
    /// None before the first step.
    banks: Option<Banks>,
}

impl Crd {
    /// Refuses more than one pair.
    fn check(&self) -> Result<(), PluginError> {
        let count = self.hint.0.len();
        if count > 1 {
            let got = format!("{count} values");
            return Err(PluginError::bad_value(Self::PLUGIN, "hint", got, "one"));
        }
        pairs::check_pairs(self)
    }

    /// Banks before anything was seen: uniform entries of about norm 1, as the reference code draws
    /// them.
    fn fresh(&self, pictures: usize, device: &Device) -> Banks {
        let bound = (3.0 / self.embedding as f64).sqrt();
        let draw = || {
            Tensor::random(
                [pictures, self.embedding],
                Distribution::Uniform(-bound, bound),
                device,
            )
        };
        Banks {
            student: draw(),
            teacher: draw(),
            scales: None,
        }
    }

    /// Both sides' losses, and Z of each. Embeddings `[batch, embedding]` of norm 1; `contrast`
    /// `[batch, 1 + K]` numbers of pictures, the own one first.
    fn contrasted(
        &self,
        banks: &Banks,
        student: &Tensor<2>,
        teacher: &Tensor<2>,
        contrast: &Tensor<2, Int>,
    ) -> ([Tensor<1>; 2], [f64; 2]) {
        let [pictures, _] = banks.student.dims();
        let [batch, drawn] = contrast.dims();
        let noise = drawn.saturating_sub(1) as f64 / pictures.max(1) as f64;
        let side = |embedding: &Tensor<2>, bank: &Tensor<2>, scale: Option<f64>| {
            let products = embedding.clone().matmul(bank.clone().transpose());
            let likeness = (products.gather(1, contrast.clone()) / self.temperature).exp();
            let scale = scale
                .unwrap_or_else(|| f64::from(likeness.clone().mean().into_scalar::<f32>()) * pictures as f64);
            let p = likeness / scale;
            let below = p.clone() + (noise + EPSILON);
            let own = (p.narrow(1, 0, 1) / below.clone().narrow(1, 0, 1)).log().sum();
            let others = below.narrow(1, 1, drawn - 1).log().neg() + noise.ln();
            (-(own + others.sum()) / batch.max(1) as f64, scale)
        };
        let known = |of: usize| banks.scales.map(|scales| scales[of]);
        let (ours, ours_scale) = side(student, &banks.teacher, known(0));
        let (theirs, theirs_scale) = side(teacher, &banks.student, known(1));
        ([ours, theirs], [ours_scale, theirs_scale])
    }

    /// The banks with new embeddings mixed in.
    fn remembered(&self, banks: &Banks, own: &Tensor<1, Int>, embeddings: [&Tensor<2>; 2]) -> Banks {
        let momentum = self.momentum;
        let mixed = |bank: &Tensor<2>, new: &Tensor<2>| {
            let old = bank.clone().select(0, own.clone());
            let entries =
                features::unit_rows(old.clone() * momentum + new.clone().detach() * (1.0 - momentum));
            bank.clone()
                .select_assign(0, own.clone(), entries - old, IndexingUpdateOp::Add)
        };
        Banks {
            student: mixed(&banks.student, embeddings[0]),
            teacher: mixed(&banks.teacher, embeddings[1]),
            scales: banks.scales,
        }
    }

    /// For each picture itself and K others, uniformly and with repetition, `[batch, 1 + K]`.
    fn drawn(&self, own: &Tensor<1, Int>, pictures: usize) -> Tensor<2, Int> {
        let [batch] = own.dims();
        let own = own.clone().unsqueeze_dim::<2>(1);
        let others = pictures.saturating_sub(1).max(1);
        let uniform = Distribution::Uniform(0.0, 1.0);
        let offsets = Tensor::<2>::random([batch, self.negatives], uniform, &own.device());
        // A number drawn just below 1 may round up.
        let offsets = (offsets * others as f64).int().clamp_max(others as i64 - 1) + 1;
        let negatives = (own.clone() + offsets).remainder_scalar(pictures.max(1) as i64);
        Tensor::cat(vec![own, negatives], 1)
    }

    fn terms(losses: [Tensor<1>; 2], weight: f64) -> Vec<Term> {
        let [student, teacher] = losses;
        [("crd-student", student), ("crd-teacher", teacher)]
            .map(|(name, value)| Term { name, value, weight })
            .to_vec()
    }
}
impl Plugin for Crd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::Features).prepare::<2>(plan)?;
        if (plan.students.len(), plan.teachers.len()) != (1, 1) {
            return Err(PluginError::Count {
                plugin: Self::PLUGIN.to_owned(),
                what: "students and teachers".to_owned(),
                got: plan.students.len().max(plan.teachers.len()),
                expected: "one of each: a bank belongs to both".to_owned(),
            });
        }
        for pair in pairs.of(0) {
            for (name, from) in [(STUDENT, pair.from[1]), (TEACHER, pair.to[1])] {
                plan.add_auxiliary(name, linear(name, from, self.embedding)?);
            }
        }
        plan.declare_term("crd-student", "β · NCE(v_s, bank of v_t)");
        plan.declare_term("crd-teacher", "β · NCE(v_t, bank of v_s)");
        Ok(Box::new(PreparedCrd {
            method: self.clone(),
            pairs,
            banks: None,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let banks = Banks {
            student: record.float("memory_v1")?,
            teacher: record.float("memory_v2")?,
            scales: None,
        };
        let contrast = record.int::<2>("contrast_idx")?;
        let pictures = banks.student.dims()[0] as i64;
        let known = |number: &i64| (0..pictures).contains(number);
        if contrast.dims().contains(&0) || !contrast.to_data().iter::<i64>().all(|number| known(&number)) {
            return Err(PluginError::RecordedShape {
                tensor: "contrast_idx".to_owned(),
                got: format!("{:?}", contrast.dims()),
                expected: format!("[batch, 1 + negatives] of numbers below {pictures}"),
            });
        }
        let mut terms = Vec::new();
        for (guided, hint) in pairs::recorded::<2>(record)? {
            let embed =
                |name, features| layers::recorded_linear(record, name, features).map(features::unit_rows);
            let (student, teacher) = (embed("embed_s", guided)?, embed("embed_t", hint)?);
            let fits = |bank: &Tensor<2>| bank.dims() == [pictures as usize, student.dims()[1]];
            if !fits(&banks.student) || !fits(&banks.teacher) || contrast.dims()[0] != student.dims()[0] {
                return Err(PluginError::RecordedShape {
                    tensor: "memory_v2".to_owned(),
                    got: format!("{:?} and {:?}", banks.student.dims(), banks.teacher.dims()),
                    expected: format!(
                        "[pictures, {}], and a row of numbers a picture",
                        student.dims()[1]
                    ),
                });
            }
            let (losses, _) = self.contrasted(&banks, &student, &teacher, &contrast);
            terms.extend(Self::terms(losses, self.weight.at(record.epoch())));
        }
        Ok(terms)
    }
}

impl Prepared for PreparedCrd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let mut terms = Vec::new();
        if step.stage.is_some() {
            return Ok(terms);
        }
        for (guided, hint) in self.pairs.taps::<2>(step, 0, 0)? {
            let embed = |name, features: Tensor<2>| {
                step.auxiliary_output::<2>(name, features.into())
                    .map(features::unit_rows)
            };
            let (student, teacher) = (embed(STUDENT, guided)?, embed(TEACHER, hint)?);
            let device = student.clone().detach().inner().device();
            let numbers: Vec<i64> = step.indices.iter().map(|index| *index as i64).collect();
            let data = TensorData::new(numbers, [step.indices.len()]);
            let own = Tensor::<1, Int>::from_data(data, &device);
            let mut banks = self
                .banks
                .clone()
                .unwrap_or_else(|| self.method.fresh(step.time.pictures, &device));
            let contrast = self.method.drawn(&own, step.time.pictures);
            let tracked = Banks {
                student: Tensor::from_inner(banks.student.clone().to_device(&device)),
                teacher: Tensor::from_inner(banks.teacher.clone().to_device(&device)),
                scales: banks.scales,
            };
            let (losses, scales) =
                self.method
                    .contrasted(&tracked, &student, &teacher, &Tensor::from_inner(contrast));
            if !step.is_rehearsal() {
                banks.scales = Some(scales);
                let embeddings = [&student.inner(), &teacher.inner()];
                self.banks = Some(self.method.remembered(&banks, &own, embeddings));
            }
            terms.extend(Crd::terms(losses, self.method.weight.at(step.time.epoch)));
        }
        Ok(terms)
    }

    fn state(&self) -> Vec<(String, Tensor<1>)> {
        let Some(banks) = &self.banks else {
            return Vec::new();
        };
        let scales = banks.scales.unwrap_or_default();
        let scales = TensorData::new(scales.map(|scale| scale as f32).to_vec(), [2]);
        vec![
            ("student".to_owned(), banks.student.clone().flatten(0, 1)),
            ("teacher".to_owned(), banks.teacher.clone().flatten(0, 1)),
            ("scales".to_owned(), Tensor::from_data(scales, &Device::flex())),
        ]
    }

    fn restore(&mut self, state: Vec<(String, Tensor<1>)>) {
        let find = |name: &str| state.iter().find(|(known, _)| known == name);
        let bank = |name: &str| {
            let tensor = &find(name)?.1;
            let entries = tensor.dims()[0] / self.method.embedding;
            let whole = entries * self.method.embedding == tensor.dims()[0];
            whole.then(|| tensor.clone().reshape([entries, self.method.embedding]))
        };
        let scales = find("scales").map(|(_, tensor)| tensor.to_data().iter::<f64>().collect::<Vec<f64>>());
        let (Some(student), Some(teacher), Some([ours, theirs])) =
            (bank("student"), bank("teacher"), scales.as_deref())
        else {
            return;
        };
        self.banks = Some(Banks {
            student,
            teacher,
            scales: Some([*ours, *theirs]),
        });
    }
}

inventory::submit! {
    PluginEntry::new::<Crd>(
        "each picture's features nearer to the teacher's of the same picture than to those of others",
        Paper {
            title: "Contrastive Representation Distillation",
            authors: "Tian, Krishnan, Isola",
            year: 2020,
            arxiv: "1910.10699",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{assert_agrees, assert_differs, golden};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for input in ["student_feat", "embed_t.weight"] {
            assert_agrees("crd:weight=1", "crd_base.safetensors", input);
        }
        assert_differs("crd:weight=1,temperature=0.1", "crd_base.safetensors");
    }

    #[test]
    fn the_banks_move_as_the_references_do() {
        let path = golden("crd_base.safetensors");
        let record = Recorded::open(&path).unwrap();
        let embed = |layer, features: &str| {
            let features = record.float::<2>(features).unwrap();
            features::unit_rows(layers::recorded_linear(&record, layer, features).unwrap())
        };
        let (student, teacher) = (embed("embed_s", "student_feat"), embed("embed_t", "teacher_feat"));
        let crd = Crd::default();
        let banks = Banks {
            student: record.float("memory_v1").unwrap(),
            teacher: record.float("memory_v2").unwrap(),
            scales: None,
        };
        let own = record.int::<1>("idx").unwrap();
        let moved = crd.remembered(&banks, &own, [&student, &teacher]);
        for (name, bank) in [("memory_v1", moved.student), ("memory_v2", moved.teacher)] {
            let after = record.float::<2>(&format!("aux.{name}_after")).unwrap();
            let difference = (bank - after).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "{name}: {difference}");
        }
    }

    #[test]
    fn negatives_are_other_pictures() {
        let crd = Crd {
            negatives: 50,
            ..Crd::default()
        };
        let own = Tensor::<1, Int>::from_data([0, 3, 6], &Device::flex());
        let drawn: Vec<i64> = crd.drawn(&own, 7).to_data().iter::<i64>().collect();
        for (row, own) in drawn.chunks(51).zip([0, 3, 6]) {
            assert_eq!(row[0], own);
            assert!(
                row[1..]
                    .iter()
                    .all(|other| *other != own && (0..7).contains(other))
            );
            assert!((0..7).filter(|picture| row.contains(picture)).count() > 4);
        }
    }
}
