//! What a plot shows, before it is drawn.

/// A plot with its words.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// Unit, and what was done to the numbers.
    pub about: String,
    /// What runs along the bottom.
    pub x: Axis,
    /// What runs along the side.
    pub y: Range,
    /// The curves.
    pub lines: Vec<Line>,
    /// Vertical rules with their labels, where something begins.
    pub rules: Vec<(f64, String)>,
}

/// The bottom axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Axis {
    /// Epochs, from 1.
    #[default]
    Epoch,
    /// Steps.
    Step,
    /// Values side by side in this order, at 0, 1, 2, …
    Values {
        /// What they are values of.
        label: String,
        /// The values.
        values: Vec<String>,
    },
}

/// The side axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Range {
    /// From the least to the greatest value.
    #[default]
    Fitted,
    /// The same, with 0 in it.
    FromZero,
    /// The same as `Fitted`, within 0 to 100.
    Percent,
    /// Logarithmic; what is not above 0 is left out.
    Logarithmic,
    /// From the first number to the second.
    Fixed(f64, f64),
}

/// A curve.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// (x, y), from left to right.
    pub points: Vec<(f64, f64)>,
    /// Vertical bars, as (x, from, to).
    pub bars: Vec<(f64, f64, f64)>,
    /// Its colour.
    pub ink: Ink,
    /// Whether it is dashed.
    pub dashed: bool,
}

/// A colour by its purpose; `chart` has what it looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ink {
    /// Letters.
    #[default]
    Text,
    /// The axes, and what is compared with.
    Frame,
    /// The lines behind the curves.
    Grid,
    /// The n-th curve of a figure.
    Series(usize),
}

/// Positive curves that are further apart than this are seen on a logarithmic axis only.
const FAR: f64 = 100.0;

impl Figure {
    /// Makes the side axis logarithmic where the smaller numbers would otherwise lie flat on the
    /// bottom.
    pub fn widened(mut self) -> Self {
        let values = || self.lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
        let least = values().fold(f64::INFINITY, f64::min);
        if least > 0.0 && values().fold(0.0, f64::max) > FAR * least {
            self.y = Range::Logarithmic;
            let lead = if self.about.is_empty() { "" } else { ", " };
            self.about = format!("{}{lead}logarithmic", self.about);
        }
        self
    }
}

/// At most so many points of a curve are drawn.
pub const MOST_POINTS: usize = 600;

/// The mean over a window of some fiftieth of the curve around each point, of at most
/// [`MOST_POINTS`] points.
pub fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = points.len() / 100;
    let mean = |index: usize| {
        let window = &points[index.saturating_sub(reach)..(index + reach + 1).min(points.len())];
        let sum: f64 = window.iter().map(|(_, y)| y).sum();
        (points[index].0, sum / window.len() as f64)
    };
    thinned(&(0..points.len()).map(mean).collect::<Vec<_>>())
}

/// Every n-th point and the last one, at most [`MOST_POINTS`].
pub fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(MOST_POINTS - 1).max(1);
    let mut kept: Vec<(f64, f64)> = points.iter().copied().step_by(every).collect();
    if let (Some(last), false) = (points.last(), kept.last() == points.last()) {
        kept.push(*last);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_to_their_limit_and_keep_their_ends() {
        for length in [0, 1, 599, 600, 601, 10_000] {
            let points: Vec<(f64, f64)> = (0..length).map(|x| (x as f64, 1.0)).collect();
            let kept = thinned(&points);
            assert!(kept.len() <= MOST_POINTS, "{length}: {}", kept.len());
            assert_eq!(kept.first(), points.first());
            assert_eq!(kept.last(), points.last());
        }
    }

    #[test]
    fn numbers_far_apart_get_a_logarithmic_axis_unless_one_has_no_logarithm() {
        let axis = |values: &[f64]| {
            let points = values.iter().map(|value| (0.0, *value)).collect();
            let lines = vec![Line {
                points,
                ..Line::default()
            }];
            let figure = Figure {
                lines,
                ..Figure::default()
            };
            figure.widened().y
        };
        assert_eq!(axis(&[4000.0, 2.0]), Range::Logarithmic);
        assert_eq!(axis(&[4.0, 2.0]), Range::Fitted);
        assert_eq!(axis(&[4000.0, 0.0]), Range::Fitted);
        assert_eq!(axis(&[]), Range::Fitted);
    }

    #[test]
    fn a_straight_line_is_smooth_already() {
        let points: Vec<(f64, f64)> = (0..500).map(|x| (f64::from(x), 3.0)).collect();
        assert_eq!(smoothed(&points), points);
    }

    #[test]
    fn smoothing_averages_neighbours_of_a_long_curve_and_leaves_a_short_one() {
        let zigzag = |length: u32| -> Vec<(f64, f64)> {
            (0..length).map(|x| (f64::from(x), f64::from(x % 2))).collect()
        };
        assert_eq!(smoothed(&zigzag(8)), zigzag(8));
        let smooth = smoothed(&zigzag(400));
        // A window of 4 on either side, itself included: 4 or 5 ones of 9.
        assert!(
            smooth[50..350]
                .iter()
                .all(|(_, y)| *y == 4.0 / 9.0 || *y == 5.0 / 9.0)
        );
    }
}
