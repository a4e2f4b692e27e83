//! Fitting a ZCA whitening (A. J. Bell, T. J. Sejnowski, *The "independent components" of natural scenes are edge filters*, Vision Research 37,
//! 1997; in pylearn2's form, which adds eps to the eigenvalues).
//!
//! Sums are taken in 64 bits over panels of fixed size, one thread to a panel, so that the number of threads does not change a bit of the matrix: a
//! run that is done again on the same machine has the same file and the same hash.

use super::{DataError, Normalisation, Pipeline, Preparation, Purpose, Source, Split, Whitening, stream};
use faer::{Accum, MatMut, MatRef, Par, Side, linalg::matmul::matmul};
use rayon::prelude::*;

/// Pictures whose products are added up at a time.
const CHUNK: usize = 1024;
/// Columns of a product that are one job.
const PANEL: usize = 256;

/// As [`Whitening::fit`].
pub(super) fn fit(
    training: &dyn Source,
    pipeline: &Pipeline,
    limit: Option<usize>,
) -> Result<Whitening, DataError> {
    let Some(&Normalisation::Zca { eps, samples }) = pipeline.normalise.last() else {
        return Err(DataError::NormaliseOrder {
            got: pipeline.normalise.iter().map(ToString::to_string).collect(),
        });
    };
    let preparation = pipeline.resolve(training, Split::Test)?;
    let available = training.len().min(limit.unwrap_or(usize::MAX));
    let taken = available.min(samples.unwrap_or(usize::MAX));
    let chosen: Vec<usize> = (0..taken).map(|number| number * available / taken).collect();
    let Moments { mean, covariance } = moments(training, &preparation, &chosen)?;
    let matrix = inverse_root(covariance, mean.len(), eps).ok_or(DataError::NoWhitening { pictures: taken })?;
    Ok(Whitening {
        steps: pipeline.normalise.clone(),
        shape: preparation.shape(),
        mean: mean.iter().map(|&mean| mean as f32).collect(),
        matrix,
    })
}

struct Moments {
    /// `[numbers]`
    mean: Vec<f64>,
    /// `[numbers, numbers]`, of which the lower triangle holds.
    covariance: Vec<f64>,
}

/// Mean and covariance (divided by the number of pictures) of the `chosen` pictures.
fn moments(source: &dyn Source, preparation: &Preparation, chosen: &[usize]) -> Result<Moments, DataError> {
    let count = preparation.shape().iter().product::<usize>();
    let mut mean = vec![0.0; count];
    let mut squares = vec![0.0; count * count];
    for chosen in chosen.chunks(CHUNK) {
        let prepare = |&index: &usize| -> Result<Vec<f64>, DataError> {
            let mut numbers = vec![0.0; count];
            let mut rng = stream(0, Purpose::Augment, 0, index as u64);
            preparation.apply(index, source.read(index)?.image, &mut rng, &mut numbers)?;
            Ok(numbers.into_iter().map(f64::from).collect())
        };
        let rows = chosen
            .par_iter()
            .map(prepare)
            .collect::<Result<Vec<Vec<f64>>, DataError>>()?;
        for row in &rows {
            mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
        }
        let rows = rows.concat();
        let pictures = MatRef::from_row_major_slice(&rows, chosen.len(), count);
        add_squares(&mut squares, pictures);
    }
    let pictures = chosen.len() as f64;
    mean.iter_mut().for_each(|sum| *sum /= pictures);
    squares
        .par_chunks_mut(count)
        .zip(&mean)
        .for_each(|(column, across)| {
            for (sum, down) in column.iter_mut().zip(&mean) {
                *sum = *sum / pictures - across * down;
            }
        });
    Ok(Moments {
        mean,
        covariance: squares,
    })
}

/// Adds xᵀx of `pictures` `[pictures, numbers]` to the lower triangle of `squares` (column by column).
fn add_squares(squares: &mut [f64], pictures: MatRef<'_, f64>) {
    let count = pictures.ncols();
    squares
        .par_chunks_mut(PANEL * count)
        .enumerate()
        .for_each(|(panel, columns)| {
            let (first, width) = (panel * PANEL, columns.len() / count);
            let columns = MatMut::from_column_major_slice_mut(columns, count, width);
            matmul(
                columns.subrows_mut(first, count - first),
                Accum::Add,
                pictures.subcols(first, count - first).transpose(),
                pictures.subcols(first, width),
                1.0,
                Par::Seq,
            );
        });
}

/// U (S + eps)^(−1/2) Uᵀ for the symmetric matrix U S Uᵀ whose lower triangle is given; nothing where that has numbers that are not finite.
fn inverse_root(covariance: Vec<f64>, count: usize, eps: f64) -> Option<Vec<f32>> {
    if covariance.iter().any(|number| !number.is_finite()) {
        return None;
    }
    let matrix = MatRef::from_column_major_slice(&covariance, count, count);
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let vectors = eigen.U();
    let mut scaled = vectors.to_owned();
    for (index, &variance) in eigen.S().column_vector().iter().enumerate() {
        // Rounding leaves variances that are 0 a little below it.
        let factor = 1.0 / (variance.max(0.0) + eps).sqrt();
        scaled.col_mut(index).iter_mut().for_each(|number| *number *= factor);
    }
    let mut root = vec![0.0; count * count];
    root.par_chunks_mut(PANEL * count)
        .enumerate()
        .for_each(|(panel, columns)| {
            let width = columns.len() / count;
            matmul(
                MatMut::from_column_major_slice_mut(columns, count, width),
                Accum::Replace,
                scaled.as_ref(),
                vectors.subrows(panel * PANEL, width).transpose(),
                1.0,
                Par::Seq,
            );
        });
    Some(root.into_iter().map(|number| number as f32).collect())
}
