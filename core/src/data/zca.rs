//! Fitting a ZCA whitening (A. J. Bell, T. J. Sejnowski, *The "independent components" of natural
//! scenes are edge filters*, Vision Research 37, 1997; in pylearn2's form, which adds eps to the
//! eigenvalues).
//!
//! All sums and products are taken in 64 bits and in an order that the number of threads does not
//! change: a run that is done again on the same machine has the same file and the same hash.

use super::{DataError, Normalisation, Pipeline, Preparation, Purpose, Source, Split, Whitening, stream};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

/// Pictures whose products are added up at a time.
const CHUNK: usize = 1024;
/// Each step makes the smallest eigenvalue more than twice as large, so that this is enough for all
/// that 64 bits can tell from 0.
const MOST_STEPS: usize = 64;
/// Root mean square of what ZY differs from the identity by, before a last step that squares it.
const NEAR: f64 = 1e-7;

impl Whitening {
    /// Fits the `zca` of `pipeline` on the first `limit` pictures of `training`, each prepared as a
    /// test picture is, so without augmentation.
    ///
    /// # Errors
    /// A pipeline that does not fit the pictures, a picture that cannot be read,
    /// [`DataError::NoWhitening`] where numbers are not finite.
    pub fn fit(training: &dyn Source, pipeline: &Pipeline, limit: Option<usize>) -> Result<Self, DataError> {
        let Some(&Normalisation::Zca { eps, samples }) = pipeline.normalise.last() else {
            return Err(DataError::NormaliseOrder {
                got: pipeline.normalise.iter().map(ToString::to_string).collect(),
            });
        };
        let preparation = pipeline.resolve(training, Split::Test)?;
        let available = training.len().min(limit.unwrap_or(usize::MAX));
        let taken = available.min(samples.unwrap_or(usize::MAX));
        let chosen: Vec<usize> = (0..taken).map(|number| number * available / taken).collect();
        let (mean, covariance) = moments(training, &preparation, &chosen)?;
        let refuse = || DataError::NoWhitening { pictures: taken, eps };
        let matrix = inverse_root(covariance, eps).ok_or_else(refuse)?;
        let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect();
        Ok(Self {
            steps: pipeline.normalise.clone(),
            shape: preparation.shape(),
            mean: numbers(mean),
            matrix: numbers(matrix),
        })
    }
}

/// Mean `[1, numbers]` and covariance `[numbers, numbers]` (divided by the number of pictures) of
/// the `chosen` pictures.
fn moments(
    source: &dyn Source,
    preparation: &Preparation,
    chosen: &[usize],
) -> Result<(Tensor<2>, Tensor<2>), DataError> {
    let count = preparation.shape().iter().product::<usize>();
    let exact = (&Device::flex(), DType::F64);
    let mut sum = Tensor::<2>::zeros([1, count], exact);
    let mut products = Tensor::<2>::zeros([count, count], exact);
    for chosen in chosen.chunks(CHUNK) {
        let mut rows = vec![0.0; chosen.len() * count];
        rows.par_chunks_exact_mut(count)
            .zip(chosen)
            .try_for_each(|(row, &index)| {
                let mut rng = stream(0, Purpose::Augment, 0, index as u64);
                preparation.apply(index, source.read(index)?.image, &mut rng, row)
            })?;
        let rows = Tensor::<2>::from_data(TensorData::new(rows, [chosen.len(), count]), exact);
        sum = sum + rows.clone().sum_dim(0);
        products = products + rows.clone().transpose().matmul(rows);
    }
    let mean = sum / chosen.len() as f64;
    let covariance = products / chosen.len() as f64 - mean.clone().transpose() * mean.clone();
    Ok((mean, covariance))
}

/// (C + eps)^(−1/2) = U (S + eps)^(−1/2) Uᵀ of a covariance C = U S Uᵀ, by the coupled
/// Newton–Schulz iteration (N. J. Higham, *Functions of Matrices*, 2008, equation 6.35), which
/// needs products alone. Nothing where the numbers are not finite or eps is too small beside the
/// largest variance.
fn inverse_root(covariance: Tensor<2>, eps: f64) -> Option<Tensor<2>> {
    let [count, _] = covariance.dims();
    let identity = Tensor::<2>::eye(count, &Device::flex()).cast(DType::F64);
    let norm = |tensor: Tensor<2>| (tensor.clone() * tensor).sum().into_scalar::<f64>().sqrt();
    let shifted = covariance + identity.clone() * eps;
    let size = norm(shifted.clone());
    let (mut y, mut z) = (shifted / size, identity.clone());
    for _ in 0..MOST_STEPS {
        let difference = identity.clone() - z.clone().matmul(y.clone());
        let far = norm(difference.clone()) / (count as f64).sqrt();
        let step = identity.clone() + difference / 2.0;
        z = step.clone().matmul(z);
        if far < NEAR {
            return Some(z / size.sqrt());
        }
        y = y.matmul(step);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{InMemory, Loader, LoaderOptions};
    use burn::tensor::Device;
    use proptest::prelude::*;
    use rand::RngExt;
    use std::sync::Arc;

    fn source(shape: [usize; 3], pixels: Vec<u8>) -> Arc<dyn Source> {
        let count = pixels.len() / shape.iter().product::<usize>();
        Arc::new(InMemory::new(shape, vec!["a".into()], vec![0; count], pixels).unwrap())
    }

    fn pipeline(channels: usize, normalise: &[&str]) -> Pipeline {
        Pipeline {
            train: vec!["flip:probability=1".parse().unwrap()],
            test: vec![],
            mean: vec![0.5; channels],
            std: vec![0.5; channels],
            normalise: normalise.iter().map(|text| text.parse().unwrap()).collect(),
            whitening: None,
        }
    }

    /// The batches' numbers, fitted and whitened on the same pictures.
    fn whitened(source: &Arc<dyn Source>, pipeline: &Pipeline) -> Vec<f32> {
        let mut pipeline = pipeline.clone();
        pipeline.whitening = Some(Arc::new(
            Whitening::fit(source.as_ref(), &pipeline, None).unwrap(),
        ));
        let options = LoaderOptions {
            shuffle: false,
            batch_size: 5,
            ..LoaderOptions::default()
        };
        let loader = Loader::new(
            Arc::clone(source),
            &pipeline,
            Split::Test,
            options,
            &Device::flex(),
        )
        .unwrap();
        let images = loader.iter().map(|batch| batch.unwrap().images.into_data());
        images
            .flat_map(|images| images.try_to_vec::<f32>().unwrap())
            .collect()
    }

    fn close(got: &[f32], expected: &[f64], most: f64) {
        assert_eq!(got.len(), expected.len());
        let far = |(got, expected): (&f32, &f64)| (f64::from(*got) - expected).abs() > most;
        assert!(!got.iter().zip(expected).any(far), "{got:?}\n{expected:?}");
    }

    // p = np.array([[(i*i*53 + j*j*29 + i*j*71 + 17) % 256 for j in range(4)] for i in range(7)],
    // float)
    fn seven() -> Arc<dyn Source> {
        let pixel = |i: usize, j: usize| ((i * i * 53 + j * j * 29 + i * j * 71 + 17) % 256) as u8;
        let pixels = (0..7).flat_map(|i| (0..4).map(move |j| pixel(i, j))).collect();
        source([1, 2, 2], pixels)
    }

    // m = x.mean(0); s, u = np.linalg.eigh(np.cov(x.T, bias=True)); w = u / np.sqrt(s + 0.1) @ u.T,
    // with x = p / 255, and with g = p - p.mean(1, keepdims=True); x = 55 * g / np.sqrt((g **
    // 2).sum(1, keepdims=True)); the last picture looked at is ((x - m) @ w)[2]
    #[test]
    fn mean_and_matrix_are_numpys() {
        let plain = Whitening::fit(seven().as_ref(), &pipeline(1, &["zca"]), None).unwrap();
        close(&plain.mean, &[0.473950, 0.562465, 0.304762, 0.417927], 2e-6);
        #[rustfmt::skip]
        close(
            &plain.matrix,
            &[
                2.339326, -0.206878, 0.129493, -0.246003, -0.206878, 2.620699, 0.171634, -0.061715,
                0.129493, 0.171634, 2.793040, 0.143461, -0.246003, -0.061715, 0.143461, 2.663427,
            ],
            2e-6,
        );
        let contrast = pipeline(1, &["gcn", "zca:eps=0.1"]);
        let fitted = Whitening::fit(seven().as_ref(), &contrast, None).unwrap();
        close(&fitted.mean, &[3.862778, 12.084223, -14.053292, -1.893709], 1e-5);
        #[rustfmt::skip]
        close(
            &fitted.matrix,
            &[
                0.817923, 0.784857, 0.785963, 0.773535, 0.784857, 0.817103, 0.778690, 0.781628,
                0.785963, 0.778690, 0.814576, 0.783048, 0.773535, 0.781628, 0.783048, 0.824067,
            ],
            2e-6,
        );
        let third = &whitened(&seven(), &contrast)[8..12];
        close(third, &[1.430775, -0.614237, -0.218335, -0.598203], 2e-5);
    }

    #[test]
    fn neither_threads_nor_a_second_fit_change_a_bit() {
        let mut rng = stream(3, Purpose::Order, 0, 0);
        let pixels = (0..40 * 300).map(|_| rng.random::<u8>()).collect();
        let source = source([3, 10, 10], pixels);
        let fitted = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| Whitening::fit(source.as_ref(), &pipeline(3, &["gcn", "zca"]), None).unwrap())
        };
        assert_eq!(fitted(1), fitted(5));
    }

    #[test]
    fn a_limit_and_a_number_of_samples_choose_the_pictures() {
        let pixels: Vec<u8> = (0..10 * 4).map(|n| (n * n * 7 % 251) as u8).collect();
        let whole = source([1, 2, 2], pixels.clone());
        let same =
            |one: Whitening, other: Whitening| assert_eq!((one.mean, one.matrix), (other.mean, other.matrix));
        let six = source([1, 2, 2], pixels[..24].to_vec());
        same(
            Whitening::fit(whole.as_ref(), &pipeline(1, &["zca"]), Some(6)).unwrap(),
            Whitening::fit(six.as_ref(), &pipeline(1, &["zca"]), None).unwrap(),
        );
        let every_other = [0, 2, 4, 6, 8].map(|n| &pixels[n * 4..][..4]).concat();
        same(
            Whitening::fit(whole.as_ref(), &pipeline(1, &["zca:samples=5"]), None).unwrap(),
            Whitening::fit(
                source([1, 2, 2], every_other).as_ref(),
                &pipeline(1, &["zca"]),
                None,
            )
            .unwrap(),
        );
    }

    #[test]
    fn pictures_too_large_are_refused_before_one_is_read() {
        let source = source([3, 224, 224], vec![0; 3 * 224 * 224]);
        let error = pipeline(3, &["zca"])
            .resolve(source.as_ref(), Split::Train)
            .unwrap_err();
        assert!(error.to_string().contains("12288 numbers"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn whitened_pictures_are_uncorrelated_with_variance_one_where_eps_vanishes(seed: u64) {
            let mut rng = stream(seed, Purpose::Order, 0, 0);
            // Each pixel shares a part with its neighbour, so that there is a correlation to
            // remove.
            let mut pixels: Vec<u8> = (0..60 * 6).map(|_| rng.random::<u8>()).collect();
            for index in 1..pixels.len() {
                pixels[index] = (u16::from(pixels[index - 1]) + u16::from(pixels[index])).div_ceil(2) as u8;
            }
            let numbers = whitened(&source([1, 2, 3], pixels), &pipeline(1, &["zca:eps=1e-12"]));
            for a in 0..6 {
                let mean = numbers.chunks_exact(6).map(|x| f64::from(x[a])).sum::<f64>() / 60.0;
                prop_assert!(mean.abs() < 1e-4, "mean {mean}");
                for b in 0..6 {
                    let product = |x: &[f32]| f64::from(x[a]) * f64::from(x[b]);
                    let covariance = numbers.chunks_exact(6).map(product).sum::<f64>() / 60.0;
                    let expected = f64::from(u8::from(a == b));
                    prop_assert!((covariance - expected).abs() < 1e-3, "{a} {b}: {covariance}");
                }
            }
        }
    }
}
