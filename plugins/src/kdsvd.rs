//! Distillation of singular vectors. S. H. Lee, D. H. Kim, B. C. Song: "Self-supervised Knowledge
//! Distillation Using Singular Value Decomposition", 2018 (arXiv 1807.06819), equations 1 to 5.
//!
//! V `[channels, k]` holds the first right singular vectors of a map as a matrix
//! `[positions, channels]`, each times its singular value over the norm of the k. The student has
//! three more; each of the teacher's vectors takes the one of largest |cosine|, with its sign. R
//! between neighbouring maps i − 1 and i is exp(−(v_i − v_{i−1})² / 8) over all pairs of channels,
//! and L = 1/B Σ_i ‖R_s − R_t‖².
//!
//! Student and teacher need the same channels in each map. The sign of a singular vector is
//! arbitrary: here its entry of largest magnitude is positive. Burn has no singular value
//! decomposition with gradients: vectors are found on the host, and the gradient flows through the
//! first-order change of an eigenvector of Mᵀ M, dv_i = Σ_{j≠i} v_j (v_jᵀ dA v_i) / (λ_i − λ_j).

use burn::tensor::{Tensor, TensorData};
use potstill_core::plugin::{Paper, PluginEntry};

use crate::features;
use crate::pairs::{Comparing, PairLoss, Pairs, Suggestion, pair_options};

pair_options! {
    /// Distillation of singular vectors.
    pub struct KdSvd for "kdsvd" {
        /// factor of the term; a number or a schedule
        weight = 1.0;
        /// k, singular vectors of each map
        vectors: usize = 1, in 1..;
    }
}

impl PairLoss<4> for KdSvd {
    const FORMULA: &'static str = "w · Σ ‖R_s − R_t‖²";

    fn pairs(&self) -> Pairs {
        Pairs::new(self, Suggestion::Stages).of_same_channels()
    }

    fn loss(&self, pairs: &[(Tensor<4>, Tensor<4>)]) -> Tensor<1> {
        let mut before: Option<(Tensor<3>, Tensor<3>)> = None;
        let mut losses = Vec::new();
        for (guided, hint) in pairs {
            let (ours, theirs) = self.matched(guided.clone(), hint.clone());
            if let Some((ours_before, theirs_before)) = before {
                let student = relation(ours.clone(), ours_before);
                let teacher = relation(theirs.clone(), theirs_before);
                let batch = student.dims()[0].max(1) as f64;
                losses.push((student - teacher).square().sum() / batch);
            }
            before = Some((ours, theirs));
        }
        features::summed(losses)
    }
}

impl KdSvd {
    /// The student's and the teacher's vectors, matched and scaled, `[batch, channels, k]`.
    fn matched(&self, guided: Tensor<4>, hint: Tensor<4>) -> (Tensor<3>, Tensor<3>) {
        let (ours, theirs) = (gram(guided), gram(hint));
        let [batch, channels, _] = ours.dims();
        let k = self.vectors.min(channels);
        let (found_ours, found_theirs) = (Eigen::of(&ours), Eigen::of(&theirs));
        let mut student = Vec::with_capacity(batch);
        let mut teacher = Vec::new();
        for sample in 0..batch {
            let (ours, theirs) = (&found_ours[sample], &found_theirs[sample]);
            let values: Vec<f64> = (0..k).map(|i| theirs.values[i].max(0.0).sqrt()).collect();
            let norm = values
                .iter()
                .map(|value| value * value)
                .sum::<f64>()
                .sqrt()
                .max(1e-12);
            let mut chosen = Vec::with_capacity(k);
            for (i, value) in values.iter().enumerate() {
                let vector = theirs.vector(i);
                let cosine = |other: &[f64]| vector.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
                let candidates = 0..(k + MORE).min(channels);
                let best = candidates
                    .map(|j| (j, cosine(ours.vector(j))))
                    .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
                let (index, cosine) = best.unwrap_or_default();
                let scale = value / norm;
                teacher.extend(vector.iter().map(|entry| (entry * scale) as f32));
                chosen.push((index, scale * if cosine < 0.0 { -1.0 } else { 1.0 }));
            }
            student.push(chosen);
        }
        let data = TensorData::new(teacher, [batch, k, channels]);
        let teacher = Tensor::<3>::from_data(data, &ours.device()).swap_dims(1, 2);
        (Eigen::differentiable(&found_ours, &ours, &student), teacher)
    }
}
/// Vectors of the student among which each of the teacher's finds its own, beside as many as the
/// teacher has.
const MORE: usize = 3;
/// Divisor of the squared differences.
const WIDTH: f64 = 8.0;
/// Eigenvalues nearer than this share of the largest count as equal: between them a vector has no
/// slope.
const EQUAL: f64 = 1e-7;

/// Mᵀ M of maps as matrices `[positions, channels]`, `[batch, channels, channels]`.
fn gram(map: Tensor<4>) -> Tensor<3> {
    let rows = map.flatten::<3>(2, 3);
    rows.clone().matmul(rows.swap_dims(1, 2))
}

/// exp(−(a − b)² / 8) for each pair of channels; a `[batch, n, k]`, b `[batch, m, k]`, result
/// `[batch, n, m, k]`.
fn relation(a: Tensor<3>, b: Tensor<3>) -> Tensor<4> {
    let difference = a.unsqueeze_dim::<4>(2) - b.unsqueeze_dim::<4>(1);
    (difference.square() / -WIDTH).exp()
}

/// Eigenvalues, largest first, and eigenvectors of a symmetric matrix.
struct Eigen {
    values: Vec<f64>,
    /// One after the other.
    vectors: Vec<f64>,
}

impl Eigen {
    /// Those of each matrix of `[batch, size, size]`, found by Jacobi's rotations on the host.
    fn of(matrices: &Tensor<3>) -> Vec<Self> {
        let [_, size, _] = matrices.dims();
        let numbers: Vec<f64> = matrices.to_data().iter::<f64>().collect();
        numbers
            .chunks((size * size).max(1))
            .map(|matrix| Self::of_one(matrix.to_vec(), size))
            .collect()
    }

    fn of_one(mut matrix: Vec<f64>, size: usize) -> Self {
        // Row by row, the rows turn into the vectors.
        let mut vectors: Vec<f64> = (0..size * size)
            .map(|place| f64::from(u8::from(place % (size + 1) == 0)))
            .collect();
        for _sweep in 0..60 {
            let off: f64 = (0..size)
                .flat_map(|row| (0..row).map(move |column| (row, column)))
                .map(|(row, column)| matrix[row * size + column].powi(2))
                .sum();
            let all: f64 = matrix.iter().map(|entry| entry * entry).sum();
            if off <= all * 1e-26 {
                break;
            }
            for p in 0..size {
                for q in p + 1..size {
                    rotate(&mut matrix, &mut vectors, size, p, q);
                }
            }
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|a, b| matrix[b * size + b].total_cmp(&matrix[a * size + a]));
        let mut sorted = Vec::with_capacity(size * size);
        for row in &order {
            let vector = &vectors[row * size..(row + 1) * size];
            let largest = vector
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()))
                .unwrap_or_default();
            sorted.extend(vector.iter().map(|entry| entry * largest.signum()));
        }
        Self {
            values: order.iter().map(|row| matrix[row * size + row]).collect(),
            vectors: sorted,
        }
    }

    fn vector(&self, index: usize) -> &[f64] {
        let size = self.values.len();
        &self.vectors[index * size..(index + 1) * size]
    }

    /// For each matrix the chosen vectors times their factors, `[batch, size, chosen]`: the values
    /// are those found, the gradient is that of an eigenvector.
    fn differentiable(found: &[Self], matrices: &Tensor<3>, chosen: &[Vec<(usize, f64)>]) -> Tensor<3> {
        let device = matrices.device();
        let [batch, size, _] = matrices.dims();
        let count = chosen.first().map_or(0, Vec::len);
        // The part of A that has no value but a gradient.
        let change = matrices.clone() - matrices.clone().detach();
        let (mut vectors, mut factors) = (Vec::new(), Vec::new());
        let mut spreads = vec![Vec::new(); count];
        for (eigen, chosen) in found.iter().zip(chosen) {
            for (place, (index, factor)) in chosen.iter().enumerate() {
                vectors.extend(eigen.vector(*index).iter().map(|entry| *entry as f32));
                factors.push(*factor as f32);
                spreads[place].extend(eigen.spread(*index));
            }
        }
        let vectors = Tensor::<3>::from_data(TensorData::new(vectors, [batch, count, size]), &device);
        let factors = Tensor::<3>::from_data(TensorData::new(factors, [batch, 1, count]), &device);
        let columns = vectors.swap_dims(1, 2);
        let moved = spreads.into_iter().enumerate().map(|(place, spread)| {
            let spread = Tensor::<3>::from_data(TensorData::new(spread, [batch, size, size]), &device);
            let column = columns.clone().narrow(2, place, 1);
            column.clone() + spread.matmul(change.clone().matmul(column))
        });
        Tensor::cat(moved.collect(), 2) * factors
    }

    /// Σ_{j≠i} v_j v_jᵀ / (λ_i − λ_j), row by row.
    fn spread(&self, index: usize) -> Vec<f32> {
        let size = self.values.len();
        let nearest = self.values.first().map_or(0.0, |largest| largest.abs() * EQUAL);
        let mut sum = vec![0.0_f64; size * size];
        for other in (0..size).filter(|other| *other != index) {
            let gap = self.values[index] - self.values[other];
            if gap.abs() <= nearest {
                continue;
            }
            let vector = self.vector(other);
            for (row, left) in vector.iter().enumerate() {
                for (column, right) in vector.iter().enumerate() {
                    sum[row * size + column] += left * right / gap;
                }
            }
        }
        sum.into_iter().map(|entry| entry as f32).collect()
    }
}

/// Turns rows and columns p and q of a symmetric matrix so that their common entry becomes 0, and
/// the rows of `vectors` with them.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let common = matrix[p * size + q];
    if common == 0.0 {
        return;
    }
    let theta = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * common);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for at in 0..size {
        let (a, b) = (matrix[at * size + p], matrix[at * size + q]);
        matrix[at * size + p] = cosine * a - sine * b;
        matrix[at * size + q] = sine * a + cosine * b;
    }
    for rows in [matrix, vectors] {
        for at in 0..size {
            let (a, b) = (rows[p * size + at], rows[q * size + at]);
            rows[p * size + at] = cosine * a - sine * b;
            rows[q * size + at] = sine * a + cosine * b;
        }
    }
}
inventory::submit! {
    PluginEntry::new::<Comparing<KdSvd, 4>>(
        "how the main directions of each map follow from those of the one before",
        Paper {
            title: "Self-supervised Knowledge Distillation Using Singular Value Decomposition",
            authors: "Lee, Kim, Song",
            year: 2018,
            arxiv: "1807.06819",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{assert_agrees, assert_differs};
    use burn::tensor::Device;

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("kdsvd", "kdsvd_k1.safetensors", "student_feat.0");
        assert_differs("kdsvd:vectors=2", "kdsvd_k1.safetensors");
    }

    #[test]
    fn the_parts_of_a_symmetric_matrix_give_it_again() {
        let map = Tensor::<4>::random(
            [3, 6, 4, 5],
            burn::tensor::Distribution::Uniform(-1.0, 1.0),
            &Device::flex(),
        );
        let matrix = gram(map);
        let numbers: Vec<f64> = matrix.to_data().iter::<f64>().collect();
        for (sample, eigen) in Eigen::of(&matrix).iter().enumerate() {
            assert!(eigen.values.is_sorted_by(|a, b| a >= b), "{:?}", eigen.values);
            for row in 0..6 {
                for column in 0..6 {
                    let again: f64 = (0..6)
                        .map(|i| eigen.values[i] * eigen.vector(i)[row] * eigen.vector(i)[column])
                        .sum();
                    let entry = numbers[sample * 36 + row * 6 + column];
                    assert!((again - entry).abs() < 1e-5, "{again} {entry}");
                }
            }
        }
    }
}
