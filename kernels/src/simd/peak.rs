//! What the arithmetic units can do at most: multiply-adds in registers alone, on all threads.
//! Benchmarks stand beside it.

use std::time::Instant;

use rayon::prelude::*;

use super::{Kernel, Lanes, Simd};

/// Chains of dependent multiply-adds: more than any machine needs to hide their latency, and not
/// more than registers.
const CHAINS: usize = 12;

struct Chains(usize);

impl Kernel for Chains {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self) -> f32 {
        let (factor, summand) = (L::splat(0.999), L::splat(0.001));
        let mut chains: [L; CHAINS] =
            std::array::from_fn(|chain| L::splat(std::hint::black_box(chain as f32)));
        for _ in 0..self.0 {
            for chain in &mut chains {
                *chain = chain.mul_add(factor, summand);
            }
        }
        let mut sum = chains[0];
        for chain in &chains[1..] {
            sum = sum.add(*chain);
        }
        let mut lanes = [0.0; 16];
        // SAFETY: no register has more than 16 lanes.
        unsafe { sum.store(lanes.as_mut_ptr()) };
        lanes.iter().sum()
    }
}

impl Simd {
    /// Additions and multiplications a second that this instruction set reaches on rayon's threads
    /// together, in 10⁹.
    pub fn peak_gflops(self) -> f64 {
        const STEPS: usize = 4_000_000;
        let threads = rayon::current_num_threads();
        let once = || {
            let started = Instant::now();
            let sums: Vec<f32> = (0..threads)
                .into_par_iter()
                .with_max_len(1)
                .map(|_| self.run(Chains(std::hint::black_box(STEPS))))
                .collect();
            std::hint::black_box(sums);
            started.elapsed().as_secs_f64()
        };
        let best = (0..5).map(|_| once()).fold(f64::INFINITY, f64::min);
        (2 * CHAINS * self.lanes() * STEPS * threads) as f64 / best / 1e9
    }
}
