//! Blocks against Burn's own operators: outputs and gradients, on every instruction set of the
//! machine.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use super::*;

/// Output channels, groups, kernel, stride, dilation, padding.
type Convolution = (usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

/// A block on maps of some extents.
#[derive(Clone, Debug)]
struct Case {
    dims: [usize; 4],
    /// `None` for a block without a convolution.
    conv: Option<Convolution>,
    bias: bool,
    norm: bool,
    residual: bool,
    clamp: Option<f32>,
}

fn noise<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    drawn(dims, seed, |element| element)
}

/// Numbers of a size between 1 and 2: where a channel varies little, its normalisation multiplies
/// rounding errors, of both sides.
fn filters(dims: [usize; 4], seed: u64) -> Tensor<4> {
    drawn(dims, seed, |element| element + element.signum())
}

fn drawn<const D: usize>(dims: [usize; D], seed: u64, to: impl Fn(f32) -> f32) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let elements: Vec<f32> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        to((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    })
    .take(dims.iter().product())
    .collect();
    Tensor::<D>::from_data(TensorData::new(elements, dims), &Device::flex().autodiff()).require_grad()
}

/// A case's operands, each of which gets a gradient.
struct Drawn {
    x: Tensor<4>,
    weight: Option<Tensor<4>>,
    bias: Option<Tensor<1>>,
    gamma: Option<Tensor<1>>,
    beta: Option<Tensor<1>>,
    residual: Option<Tensor<4>>,
}

impl Drawn {
    /// All but the residual, whose extents are the output's.
    fn of(case: &Case) -> Self {
        let channels = case.conv.map_or(case.dims[1], |conv| conv.0);
        let weight = case
            .conv
            .map(|(out, groups, kernel, ..)| filters([out, case.dims[1] / groups, kernel[0], kernel[1]], 2));
        Self {
            x: noise(case.dims, 1),
            weight,
            bias: (case.bias && case.conv.is_some()).then(|| noise([channels], 3)),
            gamma: case.norm.then(|| noise([channels], 4)),
            beta: case.norm.then(|| noise([channels], 5)),
            residual: None,
        }
    }

    /// The convolution by Burn's operator; the input where there is none.
    fn convolved(&self, case: &Case) -> Tensor<4> {
        let (Some(weight), Some((_, groups, _, stride, dilation, padding))) = (&self.weight, case.conv)
        else {
            return self.x.clone();
        };
        let options = ConvOptions {
            stride,
            padding: padding.map(|pad| (pad, pad)),
            dilation,
            groups,
        };
        conv2d(self.x.clone(), weight.clone(), self.bias.clone(), options)
    }

    /// What follows the convolution, by Burn's operators.
    fn ended(&self, case: &Case, mut y: Tensor<4>) -> Tensor<4> {
        if let (Some(gamma), Some(beta)) = (&self.gamma, &self.beta) {
            let normed = Dispatch::batch_norm_train(
                y.into_dispatch(),
                gamma.clone().into_dispatch(),
                beta.clone().into_dispatch(),
                1e-5,
            );
            y = Tensor::from_dispatch(normed.output);
        }
        if let Some(residual) = &self.residual {
            y = y + residual.clone();
        }
        match case.clamp {
            Some(high) => y.clamp(0.0, high),
            None => y,
        }
    }

    fn inputs(&self, case: &Case) -> BlockInputs {
        // What has no convolution wants maps that are channels-last already.
        let x = match case.conv {
            Some(_) => self.x.clone(),
            None => self
                .x
                .clone()
                .permute([0, 2, 3, 1])
                .mul_scalar(1.0)
                .permute([0, 3, 1, 2]),
        };
        let conv =
            |(out, groups, kernel, stride, dilation, padding): (_, _, _, _, _, [usize; 2])| ConvShape {
                batch: case.dims[0],
                input: [case.dims[2], case.dims[3]],
                channels: [case.dims[1], out],
                groups,
                kernel,
                stride,
                dilation,
                padding: padding.map(|pad| (pad, pad)),
            };
        BlockInputs {
            x: Some(Value::from(x)),
            conv: case.conv.map(conv),
            precision: Precision::Fp32,
            weight: self.weight.clone().map(Value::from),
            bias: self.bias.clone().map(Value::from),
            norm: [
                self.gamma.clone().map(Value::from),
                self.beta.clone().map(Value::from),
                None,
                None,
            ],
            residual: self.residual.clone().map(Value::from),
        }
    }
}

/// The output, and the gradient of Σ y · dy by every operand, of the block and of Burn's operators.
fn compare(case: &Case, simd: Simd) {
    let mut drawn = Drawn::of(case);
    let convolved = drawn.convolved(case);
    let [batch, _, height, width] = convolved.dims();
    if case.norm && batch * height * width < 16 {
        // Of a few pixels a normalisation leaves no gradient but rounding: of two, the results are
        // −1 and 1 whatever they are.
        return;
    }
    drawn.residual = case.residual.then(|| noise(convolved.dims(), 6));
    let expected = drawn.ended(case, convolved);

    let clamp = case.clamp.map_or(Clamp::NONE, |high| Clamp { low: 0.0, high });
    let block = BlockOp::new(case.norm.then_some(1e-5), clamp);
    let outputs = block
        .run_on(simd, &drawn.inputs(case), BlockMode::Training)
        .expect("the block runs");
    let got = outputs.y.float::<4>();
    let dy = noise(expected.dims(), 7).detach();
    assert_close("y", got.clone(), expected.clone(), 1e-5);
    let gradients = [
        (got * dy.clone()).sum().backward(),
        (expected * dy).sum().backward(),
    ];
    assert_same_gradient("dx", Some(drawn.x), &gradients);
    assert_same_gradient("dw", drawn.weight, &gradients);
    assert_same_gradient("db", drawn.bias.filter(|_| !case.norm), &gradients);
    assert_same_gradient("dγ", drawn.gamma, &gradients);
    assert_same_gradient("dβ", drawn.beta, &gradients);
    assert_same_gradient("residual", drawn.residual, &gradients);
}

/// The gradient by an operand, if there is one, is the same in both.
fn assert_same_gradient<const D: usize>(
    what: &str,
    operand: Option<Tensor<D>>,
    both: &[burn::tensor::Gradients; 2],
) {
    if let Some(operand) = operand {
        let [got, expected] = both.each_ref().map(|gradients| operand.grad(gradients).unwrap());
        assert_close(what, got, expected, 1e-4);
    }
}

/// Within `tolerance` of the largest element, or of 0.1: behind a normalisation a gradient is what
/// remains of sums of products near 1, whose rounding does not shrink with it.
fn assert_close<const D: usize>(what: &str, got: Tensor<D>, expected: Tensor<D>, tolerance: f32) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let [got, expected] = [got, expected].map(|tensor| Value::from(tensor).to_floats().unwrap());
    let scale = expected
        .iter()
        .fold(0.1f32, |scale, value| scale.max(value.abs()));
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert!(
            (got - expected).abs() <= tolerance * scale,
            "{what}, element {index}: {got}, expected {expected}"
        );
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    let conv = (
        prop_oneof![
            (1usize..12, 1usize..20).prop_map(|(i, o)| (i, o, 1)),
            (2usize..4, 1usize..5, 1usize..5).prop_map(|(g, i, o)| (g * i, g * o, g)),
            (1usize..20).prop_map(|c| (c, c, c))
        ],
        pair(1..=3),
        pair(1..=3),
        pair(1..=2),
        pair(0..=2),
    );
    let flags = any::<(bool, bool, bool)>();
    let clamp = prop_oneof![Just(None), Just(Some(f32::INFINITY)), Just(Some(0.6))];
    (
        prop::option::weighted(0.8, conv),
        1usize..4,
        pair(5..=9),
        1usize..12,
        flags,
        clamp,
    )
        .prop_map(|(conv, batch, size, channels, (bias, norm, residual), clamp)| {
            let channels = conv.as_ref().map_or(channels, |conv| conv.0.0);
            Case {
                dims: [batch, channels, size[0], size[1]],
                conv: conv.map(|((_, out, groups), kernel, stride, dilation, padding)| {
                    (out, groups, kernel, stride, dilation, padding)
                }),
                bias,
                norm,
                residual,
                clamp,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn blocks_compute_what_burns_operators_compute(case in cases()) {
        for simd in Simd::available() {
            compare(&case, simd);
        }
    }
}

/// The same numbers, through which no gradient flows.
fn untracked<const D: usize>(tensor: Tensor<D>) -> Value {
    Value::from_data(tensor.into_data(), &Device::flex())
}

#[test]
fn inference_sees_that_weights_or_statistics_changed() {
    let block = BlockOp::new(Some(1e-5), Clamp::RELU);
    let [channels, size] = [3, 6];
    let conv = ConvShape {
        batch: 2,
        input: [size; 2],
        channels: [channels; 2],
        groups: 1,
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [(1, 1); 2],
    };
    let values = |seed: u64| Some(untracked(noise([channels], seed)));
    // What each seed makes: the weight, then scale, bias, mean and variance.
    let inputs = |seeds: [u64; 5]| BlockInputs {
        x: Some(untracked(noise([2, channels, size, size], 1))),
        conv: Some(conv.clone()),
        weight: Some(untracked(noise([channels, channels, 3, 3], seeds[0]))),
        norm: [
            values(seeds[1]),
            values(seeds[2]),
            values(seeds[3]),
            Some(untracked(noise([channels], seeds[4]).abs() + 0.5)),
        ],
        ..BlockInputs::default()
    };
    let run = |block: &BlockOp, inputs: &BlockInputs| {
        let outputs = block.run(inputs, BlockMode::Inference).expect("the block runs");
        outputs.y.to_floats().unwrap()
    };
    let first = inputs([2, 3, 4, 5, 6]);
    let before = run(&block, &first);
    assert_eq!(run(&block, &first), before);
    for changed in 0..5 {
        let mut seeds = [2, 3, 4, 5, 6];
        seeds[changed] = 7;
        let other = inputs(seeds);
        let got = run(&block, &other);
        assert_ne!(got, before, "input {changed}");
        assert_eq!(got, run(&BlockOp::new(Some(1e-5), Clamp::RELU), &other));
    }
}
