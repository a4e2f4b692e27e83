//! Convolutions against their definition in double precision, on every instruction set of the
//! machine, and on any number of threads.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

use potstill_kernels::conv::{ConvShape, Convolution, Ending, OutputGradient, WantedGradients};
use potstill_kernels::norm::Clamp;
use potstill_kernels::precision::{Rounding, rounded};
use potstill_kernels::simd::Simd;
use proptest::prelude::*;

const BOTH: WantedGradients = WantedGradients {
    input: true,
    weight: true,
};

/// Numbers between −1 and 1 without a pattern.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(len)
    .collect()
}

/// Output, gradient of the input, gradient of the weight, as the formulas say.
fn defined(shape: &ConvShape, x: &[f32], w: &[f32], b: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let [height, width] = shape.input;
    let [out_height, out_width] = shape.output();
    let [inputs, outputs] = shape.channels;
    let (per_group, of_group) = (inputs / shape.groups, outputs / shape.groups);
    let mut y = vec![0.0; shape.output_len()];
    let mut dx = vec![0.0; shape.input_len()];
    let mut dw = vec![0.0; shape.weight_len()];
    for n in 0..shape.batch {
        for row in 0..out_height {
            for column in 0..out_width {
                for (o, bias) in b.iter().enumerate().take(outputs) {
                    let at = ((n * out_height + row) * out_width + column) * outputs + o;
                    y[at] += f64::from(*bias);
                    for i in 0..per_group {
                        for kr in 0..shape.kernel[0] {
                            for kc in 0..shape.kernel[1] {
                                let r = (row * shape.stride[0] + kr * shape.dilation[0]) as isize
                                    - shape.padding[0].0 as isize;
                                let c = (column * shape.stride[1] + kc * shape.dilation[1]) as isize
                                    - shape.padding[1].0 as isize;
                                if r < 0 || c < 0 || r >= height as isize || c >= width as isize {
                                    continue;
                                }
                                let channel = o / of_group * per_group + i;
                                let x_at =
                                    ((n * height + r as usize) * width + c as usize) * inputs + channel;
                                let w_at =
                                    ((o * per_group + i) * shape.kernel[0] + kr) * shape.kernel[1] + kc;
                                y[at] += f64::from(x[x_at]) * f64::from(w[w_at]);
                                dx[x_at] += f64::from(dy[at]) * f64::from(w[w_at]);
                                dw[w_at] += f64::from(dy[at]) * f64::from(x[x_at]);
                            }
                        }
                    }
                }
            }
        }
    }
    [y, dx, dw]
}

fn assert_close(what: &str, simd: Simd, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected
        .iter()
        .fold(1e-3f64, |scale, value| scale.max(value.abs()));
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs();
        assert!(
            error < 1e-5 * scale,
            "{what} on {simd:?}, element {index}: {got}, expected {expected}"
        );
    }
}

fn agrees(shape: &ConvShape) {
    agrees_in(shape, Rounding::Fp32);
}

fn agrees_in(shape: &ConvShape, precision: Rounding) {
    let x = noise(shape.input_len(), 1);
    let w = noise(shape.weight_len(), 2);
    let b = noise(shape.channels[1], 3);
    let dy = noise(shape.output_len(), 4);
    let depthwise = shape.groups == shape.channels[0] && shape.groups == shape.channels[1];
    let factors = |elements: &[f32]| -> Vec<f32> {
        match precision {
            Rounding::Bf16 if !depthwise => elements.iter().copied().map(rounded).collect(),
            _ => elements.to_vec(),
        }
    };
    let [y, dx, dw] = defined(shape, &factors(&x), &factors(&w), &b, &factors(&dy));
    for simd in Simd::available() {
        let conv = Convolution::new(shape.clone(), simd, precision);
        let forward = conv.forward(&x, &w, Some(&b));
        assert_close("y", simd, &forward, &y);
        let residual = noise(shape.output_len(), 5);
        let clamp = Clamp {
            low: -0.25,
            high: 0.5,
        };
        let ended: Vec<f32> = (forward.iter().zip(&residual))
            .map(|(sum, residual)| (sum + residual).clamp(clamp.low, clamp.high))
            .collect();
        let ending = Ending {
            residual: Some(&residual),
            clamp,
        };
        assert_eq!(conv.infer(&x, &conv.pack(&w), Some(&b), ending), ended);
        let ready = conv.backward(&x, &w, OutputGradient::Ready(&dy), BOTH);
        assert_close("dx", simd, ready.input.as_ref().unwrap(), &dx);
        assert_close("dw", simd, ready.weight.as_ref().unwrap(), &dw);
        let channels = shape.channels[1];
        let make = |pixels: std::ops::Range<usize>, to: &mut [f32]| {
            to.copy_from_slice(&dy[pixels.start * channels..pixels.end * channels]);
        };
        let made = conv.backward(&x, &w, OutputGradient::Made(&make), BOTH);
        assert_eq!(made.input, ready.input);
        assert_eq!(made.weight, ready.weight);
    }
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let axis = || {
        (
            1usize..=3,
            1usize..=3,
            1usize..=2,
            0usize..=2,
            0usize..=2,
            0usize..7,
        )
    };
    let channels = prop_oneof![
        (1usize..20, 1usize..40).prop_map(|(i, o)| (i, o, 1)),
        (1usize..4, 1usize..10, 1usize..10).prop_map(|(g, i, o)| (g * i, g * o, g)),
        (1usize..40).prop_map(|c| (c, c, c)),
    ];
    (1usize..5, axis(), axis(), channels).prop_map(|(batch, rows, columns, (inputs, outputs, groups))| {
        let axes = [rows, columns];
        ConvShape {
            batch,
            input: axes.map(|(kernel, _, dilation, before, after, more)| {
                // At least one position for the kernel.
                (dilation * (kernel - 1) + 1 + more)
                    .saturating_sub(before + after)
                    .max(1)
            }),
            channels: [inputs, outputs],
            groups,
            kernel: axes.map(|(kernel, ..)| kernel),
            stride: axes.map(|(_, stride, ..)| stride),
            dilation: axes.map(|(_, _, dilation, ..)| dilation),
            padding: axes.map(|(_, _, _, before, after, _)| (before, after)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn convolutions_are_what_their_definition_says(shape in shapes()) {
        agrees(&shape);
    }

    #[test]
    fn in_bf16_the_factors_are_rounded_and_nothing_else(shape in shapes()) {
        agrees_in(&shape, Rounding::Bf16);
    }

    #[test]
    fn in_bf16_wider_pictures_are_what_their_definition_says(
        batch in 1usize..20,
        input in [6usize..12, 8usize..40],
        channels in [1usize..40, 1usize..40],
        kernel in [1usize..4, 1usize..4],
        stride in 1usize..=2,
        dilation in 1usize..=2,
        padding in [(0usize..=2, 0usize..=2), (0usize..=2, 0usize..=2)],
    ) {
        agrees_in(&ConvShape {
            batch,
            input,
            channels,
            groups: 1,
            kernel,
            stride: [stride; 2],
            dilation: [dilation; 2],
            padding,
        }, Rounding::Bf16);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn minimal_filtering_computes_the_same_convolution(
        batch in 16usize..20,
        input in [4usize..15, 4usize..15],
        channels in prop_oneof![Just([16, 64]), Just([33, 70]), Just([88, 96]), Just([130, 66])],
        padding in [(0usize..=2, 0usize..=2), (0usize..=2, 0usize..=2)],
    ) {
        agrees(&ConvShape {
            batch,
            input: [input[0] + 2, input[1] + 2],
            channels,
            groups: 1,
            kernel: [3; 2],
            stride: [1; 2],
            dilation: [1; 2],
            padding,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions_that_keep_the_size_are_what_their_definition_says(
        batch in 16usize..20,
        height in 1usize..6,
        eighths in 1usize..5,
        channels in [prop_oneof![Just(3usize), Just(16), Just(32), 1usize..40], prop_oneof![Just(3usize), Just(16), Just(32), 1usize..40]],
    ) {
        agrees(&ConvShape {
            batch,
            input: [height, 8 * eighths],
            channels,
            groups: 1,
            kernel: [3; 2],
            stride: [1; 2],
            dilation: [1; 2],
            padding: [(1, 1); 2],
        });
    }
}

fn same(batch: usize, size: usize, channels: [usize; 2], kernel: usize, stride: usize) -> ConvShape {
    ConvShape {
        batch,
        input: [size; 2],
        channels,
        groups: 1,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        padding: [(kernel / 2, kernel / 2); 2],
    }
}

#[test]
fn the_layers_of_a_resnet_agree_with_the_definition() {
    for (size, channels, kernel, stride) in [
        (32, [3, 16], 3, 1),
        (16, [16, 32], 3, 2),
        (16, [16, 32], 1, 2),
        (8, [64, 64], 3, 1),
        // Its weight's gradient is summed by channels, not by pictures.
        (4, [256, 128], 3, 1),
    ] {
        agrees(&same(3, size, channels, kernel, stride));
        agrees(&same(32, size, channels, kernel, stride));
        agrees_in(&same(32, size, channels, kernel, stride), Rounding::Bf16);
    }
}

#[test]
fn numbers_do_not_depend_on_the_threads() {
    let shape = same(37, 8, [24, 32], 3, 1);
    let x = noise(shape.input_len(), 5);
    let w = noise(shape.weight_len(), 6);
    let dy = noise(shape.output_len(), 7);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let conv = Convolution::new(shape.clone(), Simd::best(), Rounding::Fp32);
            let gradients = conv.backward(&x, &w, OutputGradient::Ready(&dy), BOTH);
            (conv.forward(&x, &w, None), gradients.input, gradients.weight)
        })
    };
    let alone = on(1);
    for threads in [2, 3, 7] {
        assert_eq!(on(threads), alone);
    }
}

#[test]
fn tiles_of_four_are_within_three_millionths_of_the_largest() {
    for channels in [16, 64] {
        let shape = same(16, 16, [channels; 2], 3, 1);
        let x = noise(shape.input_len(), 8);
        let w = noise(shape.weight_len(), 9);
        let dy = noise(shape.output_len(), 10);
        let exact = defined(&shape, &x, &w, &[0.0; 64][..channels], &dy);
        for simd in Simd::available() {
            let conv = Convolution::new(shape.clone(), simd, Rounding::Fp32);
            let y = conv.forward(&x, &w, None);
            let gradients = conv.backward(&x, &w, OutputGradient::Ready(&dy), BOTH);
            let got = [y, gradients.input.unwrap(), gradients.weight.unwrap()];
            for ((what, got), exact) in ["y", "dx", "dw"].into_iter().zip(got).zip(&exact) {
                let largest = exact
                    .iter()
                    .fold(0.0f64, |largest, value| largest.max(value.abs()));
                let apart = (got.iter().zip(exact))
                    .map(|(got, exact)| (f64::from(*got) - exact).abs())
                    .fold(0.0, f64::max);
                println!(
                    "{simd:?}, {channels} channels, {what}: {:.1e} of the largest",
                    apart / largest
                );
                assert!(apart < 3e-6 * largest, "{simd:?}, {what}: {apart} of {largest}");
            }
        }
    }
}
