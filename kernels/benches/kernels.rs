//! Each kernel's rate, and its share of the machine's peak: `cargo bench -p potstill-kernels`.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use potstill_kernels::conv::{ConvShape, Convolution, OutputGradient, WantedGradients};
use potstill_kernels::memory::Aligned;
use potstill_kernels::norm::{self, Affine, Clamp, Clamped, Moments, Normalised, Seen};
use potstill_kernels::precision::Rounding;
use potstill_kernels::simd::Simd;

#[global_allocator]
static MEMORY: Aligned = Aligned;

/// Name, batch, size, channels in and out, kernel, stride, groups.
type Layer = (&'static str, usize, usize, [usize; 2], usize, usize, usize);

const LAYERS: [Layer; 9] = [
    ("resnet20 stem", 128, 32, [3, 16], 3, 1, 1),
    ("resnet20 stage 1", 128, 32, [16, 16], 3, 1, 1),
    ("resnet20 stage 2", 128, 16, [32, 32], 3, 1, 1),
    ("resnet20 stage 3", 128, 8, [64, 64], 3, 1, 1),
    ("resnet20 to stage 2", 128, 32, [16, 32], 3, 2, 1),
    ("resnet8x4 stage 3", 64, 8, [256, 256], 3, 1, 1),
    ("vgg8 block 4", 64, 4, [512, 512], 3, 1, 1),
    ("mobilenetv2 expansion", 64, 16, [24, 144], 1, 1, 1),
    ("mobilenetv2 depthwise", 64, 16, [144, 144], 3, 1, 144),
];

fn layer(
    batch: usize,
    size: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvShape {
    ConvShape {
        batch,
        input: [size; 2],
        channels,
        groups,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        padding: [(kernel / 2, kernel / 2); 2],
    }
}

fn waves(len: usize) -> Vec<f32> {
    (0..len).map(|index| (index as f32 * 0.37).sin()).collect()
}

fn convolutions(criterion: &mut Criterion) {
    let simd = Simd::best();
    let peak = simd.peak_gflops();
    println!(
        "{simd:?}, {} threads: at most {peak:.0} GFLOP/s in fp32",
        rayon::current_num_threads()
    );
    for precision in [Rounding::Fp32, Rounding::Bf16] {
        for (name, batch, size, channels, kernel, stride, groups) in LAYERS {
            let shape = layer(batch, size, channels, kernel, stride, groups);
            let conv = Convolution::new(shape, simd, precision);
            match precision {
                Rounding::Fp32 => convolution(criterion, name, &conv, peak),
                // Elsewhere bf16 is rounding, then fp32.
                Rounding::Bf16 if conv.is_tiled() => {
                    convolution(criterion, &format!("{name}, bf16"), &conv, peak);
                }
                Rounding::Bf16 => {}
            }
        }
    }
}

fn convolution(criterion: &mut Criterion, name: &str, conv: &Convolution, peak: f64) {
    let shape = conv.shape();
    let flop = 2 * shape.multiplications();
    let [x, w, dy] = [shape.input_len(), shape.weight_len(), shape.output_len()].map(waves);
    let gradient = |of_input: bool| {
        let wanted = WantedGradients {
            input: of_input,
            weight: !of_input,
        };
        black_box(conv.backward(&x, &w, OutputGradient::Ready(&dy), wanted));
    };
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(flop));
    let kernels: [(&str, &dyn Fn()); 3] = [
        ("forward", &|| {
            black_box(conv.forward(&x, &w, None));
        }),
        ("data gradient", &|| gradient(true)),
        ("weight gradient", &|| gradient(false)),
    ];
    for (kernel, run) in kernels {
        let best = Cell::new(Duration::MAX);
        group.bench_function(BenchmarkId::from_parameter(kernel), |bencher| {
            bencher.iter_custom(|times| {
                let started = Instant::now();
                for _ in 0..times {
                    run();
                }
                let taken = started.elapsed();
                best.set(best.get().min(taken / times as u32));
                taken
            });
        });
        // A filter may have left it out.
        if best.get() == Duration::MAX {
            continue;
        }
        let rate = flop as f64 / best.get().as_secs_f64() / 1e9;
        println!(
            "{name}, {kernel}: at best {rate:.0} GFLOP/s, {:.0} % of the peak",
            100.0 * rate / peak
        );
    }
    group.finish();
}

fn passes(criterion: &mut Criterion) {
    let simd = Simd::best();
    let (channels, len) = (16, 128 * 32 * 32 * 16);
    let [x, dy] = [waves(len), waves(len)];
    let affine = Affine {
        scale: waves(channels),
        shift: waves(channels),
    };
    let mean = waves(channels);
    let clamped = Clamped {
        gradient: &dy,
        clamp: Clamp::RELU,
        seen: Seen::Again(&affine),
    };
    let normalised = Normalised { x: &x, mean: &mean };
    let mut group = criterion.benchmark_group("resnet20 stage 1, passes");
    group.throughput(Throughput::Bytes(4 * len as u64));
    group.bench_function("statistics", |bencher| {
        bencher.iter(|| black_box(Moments::of_batch(simd, &x, channels)));
    });
    group.bench_function("normalise, add, activate", |bencher| {
        bencher.iter(|| {
            black_box(norm::apply(
                simd,
                &x,
                channels,
                Some(&affine),
                Some(&dy),
                Clamp::RELU,
            ))
        });
    });
    group.bench_function("sums of the gradient", |bencher| {
        bencher.iter(|| black_box(norm::sums(simd, clamped, Some(normalised), channels, false)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(1));
    targets = convolutions, passes
}
criterion_main!(benches);
