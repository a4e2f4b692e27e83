//! The tensors that a graph stores, and how a new one is drawn.

use burn::tensor::TensorData;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::op::Role;

/// A tensor of a graph, in the element type of its file.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// What it is for.
    pub role: Role,
    /// Its elements; scalars have shape `[]`.
    pub data: TensorData,
}

impl StoredTensor {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.data.shape().num_elements()
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a tensor of a new network is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All the same.
    Fill(f32),
    /// Normal, variance 2 / (kernel elements × output channels): He et al. 2015,
    /// `kaiming_normal_(mode="fan_out")`.
    KaimingFanOut,
    /// Normal with this standard deviation.
    Normal(f32),
    /// Uniform on ±1/√fan-in: what PyTorch draws for linear layers and their biases.
    LinearUniform {
        /// Inputs of each output.
        fan_in: usize,
    },
}

impl Init {
    /// Draws a tensor. The draw depends on `seed` and `name` alone, so that adding a layer leaves
    /// the others as they were.
    pub fn draw(self, name: &str, dims: &[usize], seed: u64) -> TensorData {
        let count: usize = dims.iter().product();
        let values: Vec<f32> = match self {
            Init::Fill(value) => vec![value; count],
            Init::KaimingFanOut => {
                // [out, in, kernel…]: each output channel is reached through `out × kernel` weights
                // per input.
                let fan_out = dims[0] * dims[2..].iter().product::<usize>();
                normal(name, count, (2.0 / fan_out as f32).sqrt(), seed)
            }
            Init::Normal(std) => normal(name, count, std, seed),
            Init::LinearUniform { fan_in } => {
                let bound = 1.0 / (fan_in as f32).sqrt();
                let mut random = stream(name, seed);
                (0..count).map(|_| random.random_range(-bound..bound)).collect()
            }
        };
        TensorData::new(values, dims.to_vec())
    }
}

fn stream(name: &str, seed: u64) -> ChaCha8Rng {
    // FNV-1a: a stable number for the name (std's hasher may change between releases).
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(hash);
    random
}

/// Normal draws by Box and Muller's transform.
fn normal(name: &str, count: usize, std: f32, seed: u64) -> Vec<f32> {
    let mut random = stream(name, seed);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * random.random::<f64>();
        values.push((radius * angle.cos()) as f32 * std);
        values.push((radius * angle.sin()) as f32 * std);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fan_out_draws_have_the_variance_of_the_paper() {
        let data = Init::KaimingFanOut.draw("conv", &[64, 32, 3, 3], 1);
        let values: Vec<f32> = data.iter().collect();
        let variance = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        let expected = 2.0 / (64.0 * 9.0);
        assert!(
            (variance / expected - 1.0).abs() < 0.05,
            "{variance} vs {expected}"
        );
    }

    #[test]
    fn a_draw_depends_on_seed_and_name_alone() {
        let draw = |name, seed| {
            Init::Normal(1.0)
                .draw(name, &[5], seed)
                .iter::<f32>()
                .collect::<Vec<_>>()
        };
        assert_eq!(draw("a", 1), draw("a", 1));
        assert_ne!(draw("a", 1), draw("b", 1));
        assert_ne!(draw("a", 1), draw("a", 2));
    }
}
