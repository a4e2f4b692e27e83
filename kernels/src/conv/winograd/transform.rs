//! The transforms along one axis: Bᵀ of an input, G of a kernel, Aᵀ of products. Toom and Cook's
//! polynomials at the points named, and at infinity.

use crate::simd::Lanes;

/// Of tiles of `SIDE` inputs and `OUT` outputs.
pub(super) trait Transform<const SIDE: usize, const OUT: usize> {
    /// G
    const WEIGHT: [[f32; 3]; SIDE];

    /// Bᵀ d
    fn input<L: Lanes>(d: [L; SIDE]) -> [L; SIDE];

    /// Aᵀ m
    fn output<L: Lanes>(m: [L; SIDE]) -> [L; OUT];

    /// A dy
    fn gradient<L: Lanes>(dy: [L; OUT]) -> [L; SIDE];
}

/// F(2, 3) at 0, ±1.
#[derive(Debug)]
pub(super) struct Two;

impl Transform<4, 2> for Two {
    const WEIGHT: [[f32; 3]; 4] = [
        [1.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }

    #[inline(always)]
    fn output<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }

    #[inline(always)]
    fn gradient<L: Lanes>([a, b]: [L; 2]) -> [L; 4] {
        [a, a.add(b), a.sub(b), L::splat(0.0).sub(b)]
    }
}

/// F(4, 3) at 0, ±3/4, ±3/2. At the points 0, ±1, ±2 that are usual, results are some three times
/// farther from the exact ones: there the numbers of G, Bᵀ and Aᵀ are farther apart.
#[derive(Debug)]
pub(super) struct Four;

/// The points beside 0, each with both signs.
const P: f32 = 0.75;
const Q: f32 = 1.5;

impl Transform<6, 4> for Four {
    const WEIGHT: [[f32; 3]; 6] = weight_at([0.0, P, -P, Q, -Q]);

    #[inline(always)]
    fn input<L: Lanes>(d: [L; 6]) -> [L; 6] {
        let (p, minus_p, minus_p2) = (L::splat(P), L::splat(-P), L::splat(-P * P));
        let (q, minus_q, minus_q2) = (L::splat(Q), L::splat(-Q), L::splat(-Q * Q));
        let (product, minus_sum) = (L::splat(P * P * Q * Q), L::splat(-(P * P + Q * Q)));
        let (even, odd) = (d[2].mul_add(minus_q2, d[4]), d[1].mul_add(minus_q2, d[3]));
        let (other_even, other_odd) = (d[2].mul_add(minus_p2, d[4]), d[1].mul_add(minus_p2, d[3]));
        [
            d[0].mul_add(product, d[2].mul_add(minus_sum, d[4])),
            odd.mul_add(p, even),
            odd.mul_add(minus_p, even),
            other_odd.mul_add(q, other_even),
            other_odd.mul_add(minus_q, other_even),
            d[1].mul_add(product, d[3].mul_add(minus_sum, d[5])),
        ]
    }

    #[inline(always)]
    fn output<L: Lanes>(m: [L; 6]) -> [L; 4] {
        let (p, p2, p3) = (L::splat(P), L::splat(P * P), L::splat(P * P * P));
        let (q, q2, q3) = (L::splat(Q), L::splat(Q * Q), L::splat(Q * Q * Q));
        let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (other_sum, other_difference) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum).add(other_sum),
            difference.mul_add(p, other_difference.mul(q)),
            sum.mul_add(p2, other_sum.mul(q2)),
            difference.mul_add(p3, other_difference.mul_add(q3, m[5])),
        ]
    }

    #[inline(always)]
    fn gradient<L: Lanes>(dy: [L; 4]) -> [L; 6] {
        let (p, p2, p3) = (L::splat(P), L::splat(P * P), L::splat(P * P * P));
        let (q, q2, q3) = (L::splat(Q), L::splat(Q * Q), L::splat(Q * Q * Q));
        let (even, odd) = (dy[2].mul_add(p2, dy[0]), dy[3].mul_add(p3, dy[1].mul(p)));
        let (other_even, other_odd) = (dy[2].mul_add(q2, dy[0]), dy[3].mul_add(q3, dy[1].mul(q)));
        [
            dy[0],
            even.add(odd),
            even.sub(odd),
            other_even.add(other_odd),
            other_even.sub(other_odd),
            dy[3],
        ]
    }
}

/// The powers of each point, over the product of its distances from the others; the last row is
/// infinity's.
const fn weight_at(points: [f32; 5]) -> [[f32; 3]; 6] {
    let mut weight = [[0.0; 3]; 6];
    let mut at = 0;
    while at < 5 {
        let (point, mut distances, mut other) = (points[at] as f64, 1.0, 0);
        while other < 5 {
            if other != at {
                distances *= point - points[other] as f64;
            }
            other += 1;
        }
        let powers = [1.0, point, point * point];
        let mut power = 0;
        while power < 3 {
            weight[at][power] = (powers[power] / distances) as f32;
            power += 1;
        }
        at += 1;
    }
    weight[5][2] = 1.0;
    weight
}
