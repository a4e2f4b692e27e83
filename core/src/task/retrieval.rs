//! How well a network finds a person again: mean average precision and CMC, by Market-1501's
//! single-query protocol.
//!
//! For each query, the gallery is ranked by the distance of features. Pictures of the same person
//! by the same camera are left out, for they would be too easy, and so is junk; distractors stay. A
//! query whose person no other camera has seen is not counted. **mAP** is the mean over the queries
//! of the average precision, which here is the mean of the precision at each hit, as most code of
//! today has it; the original MATLAB code takes the area below the precision-recall line by
//! trapezia and is a little higher or lower. **Rank-k** of the CMC is the share of queries with a
//! hit among the first k (L. Zheng et al., *Scalable Person Re-identification: A Benchmark*, ICCV
//! 2015, section 5).

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{DataError, Loader, Sighting};

/// How far two features are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// One minus the cosine of the angle: length does not count.
    #[default]
    Cosine,
    /// The length of the difference.
    Euclidean,
}

/// What a network finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Mean average precision, in percent.
    pub map: f64,
    /// Share of queries whose first picture is a hit, in percent.
    pub rank1: f64,
    /// Share of queries with a hit among the first five, in percent.
    pub rank5: f64,
    /// Share of queries with a hit among the first ten, in percent.
    pub rank10: f64,
    /// Queries that count: those with a picture to be found.
    pub queries: usize,
    /// Pictures in the gallery, without junk.
    pub gallery: usize,
}

/// Features of pictures, with who is seen on them.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// `[pictures, width]`, row by row.
    pub values: Vec<f32>,
    /// The length of a row.
    pub width: usize,
    /// Who is seen, a row each.
    pub sightings: Vec<Sighting>,
}

impl Features {
    /// Features `[batch, …]` of the pictures of a loader's first epoch, which are `sightings` in
    /// order; axes after the first become one.
    ///
    /// # Errors
    /// A picture that cannot be read, or what `extract` raises.
    pub fn extract<E: From<DataError>>(
        loader: &Loader,
        sightings: &[Sighting],
        mut extract: impl FnMut(Tensor<4>) -> Result<Tensor<2>, E>,
    ) -> Result<Self, E> {
        loader.position().set(0, 0);
        let mut features = Features::default();
        for batch in loader.iter() {
            let batch = batch?;
            let rows = extract(batch.images)?;
            features.width = rows.dims()[1];
            features.values.extend(rows.into_data().iter::<f32>());
            features
                .sightings
                .extend(batch.indices.iter().filter_map(|&index| sightings.get(index)));
        }
        Ok(features)
    }

    /// The rows as [`apart`] takes them.
    fn measured_by(&self, distance: Distance) -> Vec<Vec<f32>> {
        let row = |row: &[f32]| {
            let length = match distance {
                Distance::Cosine => row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt(),
                Distance::Euclidean => 1.0,
            };
            // A feature of nothing but zeros has no direction: it counts as at right angles to all.
            let length = if length > 0.0 { length } else { 1.0 };
            row.iter().map(|x| (f64::from(*x) / length) as f32).collect()
        };
        self.values.chunks_exact(self.width.max(1)).map(row).collect()
    }
}

/// The distance of two rows: one minus their product, or their squared distance, which orders as
/// the distance does. A distance that is no number is as large as can be.
fn apart(a: &[f32], b: &[f32], distance: Distance) -> f32 {
    let apart = match distance {
        Distance::Cosine => 1.0 - sum(a, b, |a, b| a * b),
        Distance::Euclidean => sum(a, b, |a, b| (a - b).powi(2)),
    };
    if apart.is_nan() { f32::INFINITY } else { apart }
}

/// The sum of `term` over two rows, in eight lanes, which the compiler makes one instruction.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| term(*a, *b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Looks for each query in the gallery.
///
/// # Errors
/// [`DataError::NoQuery`] where no query has a picture to be found.
pub fn retrieve(query: &Features, gallery: &Features, distance: Distance) -> Result<Retrieval, DataError> {
    let (queries, pictures) = (query.measured_by(distance), gallery.measured_by(distance));
    let found: Vec<Found> = queries
        .par_iter()
        .zip(&query.sightings)
        .filter_map(|(query, sought)| {
            let ranked = pictures.iter().zip(&gallery.sightings);
            let distances = ranked.map(|(picture, seen)| (apart(query, picture, distance), *seen));
            find(*sought, distances.collect())
        })
        .collect();
    if found.is_empty() {
        return Err(DataError::NoQuery {
            queries: query.sightings.len(),
        });
    }
    let count = found.len() as f64;
    let rank = |most: usize| {
        let hits = found.iter().filter(|found| found.first <= most).count();
        100.0 * hits as f64 / count
    };
    Ok(Retrieval {
        map: 100.0 * found.iter().map(|found| found.average_precision).sum::<f64>() / count,
        rank1: rank(1),
        rank5: rank(5),
        rank10: rank(10),
        queries: found.len(),
        gallery: gallery.sightings.iter().filter(|seen| !seen.is_junk()).count(),
    })
}

/// What one query finds.
struct Found {
    average_precision: f64,
    /// The rank of the first hit, from 1.
    first: usize,
}

/// Ranks the gallery for one query; nothing where there is nothing to be found.
fn find(sought: Sighting, mut gallery: Vec<(f32, Sighting)>) -> Option<Found> {
    if sought.is_junk() {
        return None;
    }
    let is_hit = |seen: &Sighting| seen.identity == sought.identity;
    gallery.retain(|(_, seen)| !(seen.is_junk() || is_hit(seen) && seen.camera == sought.camera));
    // Equal distances are no decision, so that a hit comes after all else at its distance.
    gallery.sort_by(|(a, seen), (b, other)| a.total_cmp(b).then(is_hit(seen).cmp(&is_hit(other))));
    let hits = gallery.iter().enumerate().filter(|(_, (_, seen))| is_hit(seen));
    let ranks: Vec<usize> = hits.map(|(index, _)| index + 1).collect();
    let precision = |(index, rank): (usize, &usize)| (index + 1) as f64 / *rank as f64;
    Some(Found {
        first: *ranks.first()?,
        average_precision: ranks.iter().enumerate().map(precision).sum::<f64>() / ranks.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(identity: i32, camera: u32) -> Sighting {
        Sighting { identity, camera }
    }

    fn features(width: usize, rows: &[(Sighting, Vec<f32>)]) -> Features {
        Features {
            values: rows.iter().flat_map(|(_, row)| row.clone()).collect(),
            width,
            sightings: rows.iter().map(|(sighting, _)| *sighting).collect(),
        }
    }

    /// A gallery on a line, at 1, 2, 3, …
    fn line(gallery: &[Sighting]) -> Features {
        let place = |(index, sighting): (usize, &Sighting)| (*sighting, vec![index as f32 + 1.0]);
        features(1, &gallery.iter().enumerate().map(place).collect::<Vec<_>>())
    }

    fn at_zero(queries: &[Sighting]) -> Features {
        features(
            1,
            &queries
                .iter()
                .map(|query| (*query, vec![0.0]))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn precision_and_ranks_are_those_counted_by_hand() {
        // Left out: junk, and person 1 by camera 1. What remains: another, hit (1/2), distractor,
        // hit (2/4), another, another, hit (3/7).
        let gallery = line(&[
            seen(-1, 2),
            seen(2, 2),
            seen(1, 2),
            seen(1, 1),
            seen(0, 3),
            seen(1, 3),
            seen(2, 1),
            seen(3, 1),
            seen(1, 2),
        ]);
        let one = retrieve(&at_zero(&[seen(1, 1)]), &gallery, Distance::Euclidean).unwrap();
        let precision = 100.0 * (1.0 / 2.0 + 2.0 / 4.0 + 3.0 / 7.0) / 3.0;
        assert!((one.map - precision).abs() < 1e-9, "{one:?}");
        assert_eq!((one.rank1, one.rank5, one.rank10), (0.0, 100.0, 100.0));
        assert_eq!((one.queries, one.gallery), (1, 8));
        // Person 3 by camera 2 is found at rank 7, after all but one hit of person 1; nobody looks
        // for person 9, junk is never looked for.
        let more = at_zero(&[seen(1, 1), seen(3, 2), seen(9, 1), seen(-1, 1)]);
        let more = retrieve(&more, &gallery, Distance::Euclidean).unwrap();
        assert!(
            (more.map - (precision + 100.0 / 7.0) / 2.0).abs() < 1e-9,
            "{more:?}"
        );
        assert_eq!((more.rank1, more.rank5, more.rank10), (0.0, 50.0, 100.0));
        assert_eq!(more.queries, 2);
    }

    // def feats(ids, seed): return np.array([[np.sin(i*1.7 + j*(2.3 + i) + seed) + 2*(j == who % 5)
    // for j in range(5)]
    //                                        for i, who in enumerate(ids)])
    // qi = [i % 6 + 1 for i in range(12)], the last of them 99; qc = i % 3; gi = i*7 % 9 - 1 for i
    // in range(60); gc = i % 4 for each query: d = 1 - (g @ q) / |g| / |q|, or |g - q|; keep = (gi
    // != -1) & ~((gi == qi) & (gc == qc)) good = (gi[keep] == qi)[np.argsort(d[keep])]; ap =
    // (np.cumsum(good) / np.arange(1, len(good) + 1))[good].mean()
    #[test]
    fn the_figures_are_those_of_numpy() {
        let features = |people: &[i32], cameras: usize, seed: f64| {
            let row = |(i, &who): (usize, &i32)| {
                let number = |j: usize| {
                    let (i, own) = (i as f64, j == who.rem_euclid(5) as usize);
                    (i * 1.7 + j as f64 * (2.3 + i) + seed).sin() + if own { 2.0 } else { 0.0 }
                };
                let row = (0..5).map(|j| number(j) as f32).collect();
                (seen(who, (i % cameras) as u32), row)
            };
            features(5, &people.iter().enumerate().map(row).collect::<Vec<_>>())
        };
        let mut sought: Vec<i32> = (0..12).map(|i| i % 6 + 1).collect();
        sought[11] = 99;
        let query = features(&sought, 3, 3.0);
        let gallery = features(&(0..60).map(|i| i * 7 % 9 - 1).collect::<Vec<_>>(), 4, 50.0);
        for (distance, map, rank1) in [
            (Distance::Cosine, 50.403_814_362_719_27, 600.0 / 11.0),
            (Distance::Euclidean, 48.668_274_814_573_26, 700.0 / 11.0),
        ] {
            let got = retrieve(&query, &gallery, distance).unwrap();
            assert!(
                (got.map - map).abs() < 1e-6 && (got.rank1 - rank1).abs() < 1e-6,
                "{got:?}"
            );
            assert_eq!(
                (got.rank5, got.rank10, got.queries, got.gallery),
                (100.0, 100.0, 11, 53)
            );
        }
    }

    #[test]
    fn ties_and_numbers_that_are_none_count_against_the_network() {
        let gallery = [seen(1, 2), seen(2, 2), seen(3, 2)].map(|sighting| (sighting, vec![1.0, 0.0]));
        let query = features(2, &[(seen(1, 1), vec![0.5, 0.5])]);
        let tied = retrieve(&query, &features(2, &gallery), Distance::Cosine).unwrap();
        assert!(
            (tied.map - 100.0 / 3.0).abs() < 1e-9 && tied.rank1 == 0.0,
            "{tied:?}"
        );
        let mut broken = gallery.clone();
        broken[0].1 = vec![f32::NAN, 0.0];
        let broken = retrieve(&query, &features(2, &broken), Distance::Cosine).unwrap();
        assert!((broken.map - 100.0 / 3.0).abs() < 1e-9, "{broken:?}");
    }

    #[test]
    fn no_query_with_anything_to_find_is_an_error() {
        let gallery = line(&[seen(1, 1), seen(2, 1)]);
        let error = retrieve(&at_zero(&[seen(1, 1), seen(7, 2)]), &gallery, Distance::Cosine).unwrap_err();
        assert!(error.to_string().contains("none of 2 queries"), "{error}");
    }

    fn rows(most: usize) -> impl Strategy<Value = Vec<(Sighting, Vec<f32>)>> {
        let row = (-1..4_i32, 0..3_u32, prop::collection::vec(-9_i8..=9, 3));
        let row = row.prop_map(|(identity, camera, row)| {
            (seen(identity, camera), row.into_iter().map(f32::from).collect())
        });
        prop::collection::vec(row, 1..most)
    }

    proptest! {
        #[test]
        fn neither_the_order_of_the_gallery_nor_what_is_left_out_matters(
            query in rows(6),
            gallery in rows(20),
            turn in 0_usize..20,
        ) {
            let found = |query: &[(Sighting, Vec<f32>)], gallery: &[(Sighting, Vec<f32>)]| {
                retrieve(&features(3, query), &features(3, gallery), Distance::Cosine).ok()
            };
            let whole = found(&query, &gallery);
            let mut turned = gallery.clone();
            turned.rotate_left(turn % gallery.len());
            prop_assert_eq!(whole, found(&query, &turned));
            let without_junk: Vec<_> = gallery.iter().filter(|(seen, _)| !seen.is_junk()).cloned().collect();
            prop_assert_eq!(whole, found(&query, &without_junk));
            if let Some(whole) = whole {
                prop_assert!(whole.map > 0.0 && whole.map <= 100.0 + 1e-9);
                prop_assert!(whole.rank1 <= whole.rank5 && whole.rank5 <= whole.rank10);
            }
        }

        #[test]
        fn features_that_are_the_person_find_everything(gallery in rows(20), query in rows(6)) {
            let named = |rows: Vec<(Sighting, Vec<f32>)>| -> Vec<(Sighting, Vec<f32>)> {
                let own = |seen: Sighting| (0..5).map(|j| f32::from(u8::from(j == seen.identity + 1))).collect();
                rows.into_iter().map(|(seen, _)| (seen, own(seen))).collect()
            };
            let (query, gallery) = (features(5, &named(query)), features(5, &named(gallery)));
            if let Ok(all) = retrieve(&query, &gallery, Distance::Euclidean) {
                prop_assert!((all.map - 100.0).abs() < 1e-9 && all.rank1 == 100.0, "{:?}", all);
            }
        }
    }
}
