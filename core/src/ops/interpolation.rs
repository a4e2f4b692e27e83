//! Where along one axis a resized element comes from: the source indices and their weights.
//!
//! Coordinates follow <https://onnx.ai/onnx/operators/onnx__Resize.html>, attribute
//! `coordinate_transformation_mode`, and are computed in 32-bit floats as ONNX Runtime does, so
//! that halves round alike.

/// How a place in the output becomes a place in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// (x + ½) / scale − ½: pixels are areas.
    HalfPixel,
    /// As `HalfPixel`, about the centre of the input where the output's extent was rounded (opset
    /// 19).
    HalfPixelSymmetric,
    /// As `HalfPixel`, and 0 for an output of extent 1.
    PytorchHalfPixel,
    /// x · (in − 1) / (out − 1): the corners stay.
    AlignCorners,
    /// x / scale: pixels are points.
    Asymmetric,
    /// (x + ½) / scale (opsets 11 and 12).
    TfHalfPixelForNn,
}

/// Which of two neighbours is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Halves down.
    PreferFloor,
    /// Halves up.
    PreferCeil,
    /// Always down.
    Floor,
    /// Always up.
    Ceil,
    /// Down when enlarging, up when reducing: what opsets 9 and 10 mean.
    Simple,
}

/// How an element follows from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// The nearest one.
    Nearest(Rounding),
    /// A straight line between two.
    Linear,
    /// Keys' cubic through four.
    Cubic {
        /// Keys' free coefficient.
        a: f32,
        /// Whether neighbours outside the input get weight 0 instead of the border's value.
        exclude_outside: bool,
    },
    /// `Linear` or `Cubic` with a filter that is widened where the axis shrinks, so that every
    /// element of the input counts.
    Antialiased {
        /// Keys' free coefficient; `None` for straight lines.
        cubic: Option<f32>,
        /// Whether neighbours outside the input get weight 0, as Pillow and PyTorch have it,
        /// instead of the border's value.
        exclude_outside: bool,
    },
}

/// One axis of a resize.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// The input's extent.
    pub input: usize,
    /// The output's extent.
    pub output: usize,
    /// Output over input, as stated or as the quotient of the extents.
    pub scale: f32,
}

/// For each neighbour that takes part: its index and its weight, per element of the output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tap {
    /// Index in the input.
    pub indices: Vec<i64>,
    /// Share of the output's element.
    pub weights: Vec<f32>,
}

impl Stretch {
    fn coordinate(&self, x: usize, mode: Coordinates) -> f32 {
        let (at, input, output) = (x as f32, self.input as f32, self.output as f32);
        let half = (at + 0.5) / self.scale - 0.5;
        match mode {
            Coordinates::HalfPixel => half,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (self.scale * input);
                input / 2.0 * (1.0 - adjustment) + half
            }
            Coordinates::PytorchHalfPixel if self.output > 1 => half,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if self.output > 1 => at * (input - 1.0) / (output - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => at / self.scale,
            Coordinates::TfHalfPixelForNn => (at + 0.5) / self.scale,
        }
    }

    /// The neighbours of every element of the output: one for nearest, two for linear, four for
    /// cubic interpolation.
    pub fn taps(&self, mode: Coordinates, interpolation: Interpolation) -> Vec<Tap> {
        let count = match interpolation {
            Interpolation::Nearest(_) => 1,
            Interpolation::Linear => 2,
            Interpolation::Cubic { .. } => 4,
            Interpolation::Antialiased { cubic, .. } => {
                let [first, behind] = self.reach(cubic);
                (behind - first) as usize
            }
        };
        let mut taps = vec![Tap::default(); count];
        for x in 0..self.output {
            let coordinate = self.coordinate(x, mode);
            let neighbours = match interpolation {
                Interpolation::Antialiased {
                    cubic,
                    exclude_outside,
                } => self.filtered(coordinate, cubic, exclude_outside),
                Interpolation::Nearest(rounding) => vec![(round(coordinate, rounding, self.scale), 1.0)],
                Interpolation::Linear => linear(coordinate, self.input),
                Interpolation::Cubic { a, exclude_outside } => {
                    let mut neighbours = cubic(coordinate, a);
                    if exclude_outside {
                        let inside = 0..self.input as i64;
                        for (_, weight) in neighbours.iter_mut().filter(|(i, _)| !inside.contains(i)) {
                            *weight = 0.0;
                        }
                        let sum: f32 = neighbours.iter().map(|(_, weight)| weight).sum();
                        neighbours.iter_mut().for_each(|(_, weight)| *weight /= sum);
                    }
                    neighbours
                }
            };
            for (tap, (index, weight)) in taps.iter_mut().zip(neighbours) {
                tap.indices.push(index.clamp(0, self.input as i64 - 1));
                tap.weights.push(weight);
            }
        }
        taps
    }
}

impl Stretch {
    /// The first neighbour of a widened filter and the one behind its last, counted from the one
    /// before the coordinate.
    fn reach(&self, cubic: Option<f32>) -> [i64; 2] {
        let reach = if cubic.is_some() { 2.0 } else { 1.0 };
        let first = (-reach / self.scale.min(1.0)).floor() as i64 + 1;
        [first, 2 - first]
    }

    /// The neighbours under a widened filter and their weights, which sum to 1.
    fn filtered(&self, coordinate: f32, cubic: Option<f32>, exclude_outside: bool) -> Vec<(i64, f32)> {
        let scale = self.scale.min(1.0);
        let before = coordinate.floor() as i64;
        let inside = 0..self.input as i64;
        let weight = |index: i64| {
            let distance = ((index as f32 - coordinate) * scale).abs();
            match cubic {
                _ if exclude_outside && !inside.contains(&index) => 0.0,
                None => (1.0 - distance).max(0.0),
                Some(a) if distance < 2.0 => keys(distance, a),
                Some(_) => 0.0,
            }
        };
        let [first, behind] = self.reach(cubic).map(|step| before + step);
        let mut neighbours: Vec<(i64, f32)> = (first..behind).map(|index| (index, weight(index))).collect();
        let sum: f32 = neighbours.iter().map(|(_, weight)| weight).sum();
        neighbours.iter_mut().for_each(|(_, weight)| *weight /= sum);
        neighbours
    }
}

/// Keys' cubic at a distance below 2.
fn keys(d: f32, a: f32) -> f32 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    }
}

fn round(coordinate: f32, rounding: Rounding, scale: f32) -> i64 {
    let rounded = match rounding {
        Rounding::PreferFloor if coordinate == coordinate.trunc() + 0.5 => coordinate.floor(),
        Rounding::PreferFloor | Rounding::PreferCeil => coordinate.round(),
        Rounding::Floor => coordinate.floor(),
        Rounding::Ceil => coordinate.ceil(),
        Rounding::Simple if scale < 1.0 => coordinate.ceil(),
        Rounding::Simple => coordinate.trunc(),
    };
    rounded as i64
}

fn linear(coordinate: f32, input: usize) -> Vec<(i64, f32)> {
    let inside = coordinate.clamp(0.0, input as f32 - 1.0);
    let before = inside.floor();
    let share = inside - before;
    vec![(before as i64, 1.0 - share), (before as i64 + 1, share)]
}

/// Keys 1981, "Cubic convolution interpolation for digital image processing", equation 15 with a
/// free.
fn cubic(coordinate: f32, a: f32) -> Vec<(i64, f32)> {
    let before = coordinate.floor();
    let s = coordinate - before;
    let first = before as i64 - 1;
    vec![
        (first, keys(s + 1.0, a)),
        (first + 1, keys(s, a)),
        (first + 2, keys(1.0 - s, a)),
        (first + 3, keys(2.0 - s, a)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_as_the_mode_says() {
        // The coordinates of 3 elements reduced to 2 under `half_pixel` with scale 2/3 are 0.25 and
        // 1.75; 2.5 and −0.5 are the halves.
        assert_eq!(round(2.5, Rounding::PreferFloor, 1.0), 2);
        assert_eq!(round(2.5, Rounding::PreferCeil, 1.0), 3);
        assert_eq!(round(2.25, Rounding::Simple, 2.0), 2);
        assert_eq!(round(2.25, Rounding::Simple, 0.5), 3);
    }

    #[test]
    fn the_weights_of_every_element_sum_to_one() {
        let stretch = Stretch {
            input: 5,
            output: 8,
            scale: 1.6,
        };
        for interpolation in [
            Interpolation::Linear,
            Interpolation::Cubic {
                a: -0.75,
                exclude_outside: true,
            },
        ] {
            let taps = stretch.taps(Coordinates::HalfPixel, interpolation);
            for x in 0..stretch.output {
                let sum: f32 = taps.iter().map(|tap| tap.weights[x]).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            }
        }
    }
}
