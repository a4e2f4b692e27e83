//! Composing one image: ground, clutter, the glyph, what hides it, noise.

use super::{
    raster::{Mask, Point, SIDE, fill},
    shapes::{GLYPH_CLASSES, outlines},
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::{f32::consts::TAU, ops::Range};

const MIDDLE: f32 = SIDE as f32 / 2.0;
/// Least distance between the colours of glyph and ground, in the unit cube.
const CONTRAST: f32 = 0.4;

type Colour = [f32; 3];

/// `[3, 32, 32]` bytes with a glyph of class `label`.
pub fn draw(label: usize, difficulty: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let (ground, ink) = ground_and_ink(difficulty, rng);
    let mut canvas = Canvas::new();
    canvas.paint(&[1.0; SIDE * SIDE], &Paint::new(ground, difficulty, rng));

    for _ in 0..pieces(5.0 * difficulty, rng) {
        clutter(&mut canvas, ink, rng);
    }

    let radius = rng.random_range(13.0 - 6.5 * difficulty..13.5 - 1.5 * difficulty);
    let free = (MIDDLE - 0.9 * radius).max(0.0) * (0.4 + 0.6 * difficulty);
    let place = [MIDDLE + centred(free, rng), MIDDLE + centred(free, rng)];
    let glyph = fill(
        pose(label, radius, place, difficulty, rng)
            .iter()
            .map(Vec::as_slice),
    );
    canvas.paint(&glyph, &Paint::new(ink, difficulty, rng));

    if rng.random_bool(f64::from(0.9 * difficulty)) {
        let cover = patch(radius, place, rng);
        // The patch looks like the ground or like something else, never like the glyph.
        let paint = if rng.random() {
            ground
        } else {
            colour(0.05..0.95, rng)
        };
        canvas.paint(&fill([cover.as_slice()]), &Paint::new(paint, difficulty, rng));
    }
    for _ in 0..pieces(2.0 * difficulty, rng) {
        clutter(&mut canvas, ink, rng);
    }
    canvas.bytes(0.12 * difficulty, rng)
}

/// The outlines of a glyph on the canvas.
fn pose(label: usize, radius: f32, place: Point, difficulty: f32, rng: &mut ChaCha8Rng) -> Vec<Vec<Point>> {
    let (sine, cosine) = rng.random_range(0.0..TAU).sin_cos();
    let stretch = 1.0 + centred(0.14 * difficulty, rng);
    let mut outlines = outlines(label, rng.random());
    for outline in &mut outlines {
        // Few corners are jittered each by itself; curves keep their smoothness.
        let jitter = if outline.len() <= 12 {
            0.07 * difficulty
        } else {
            0.0
        };
        for point in outline {
            let (x, y) = (point[0] + centred(jitter, rng), point[1] + centred(jitter, rng));
            let (x, y) = (x * stretch, y / stretch);
            *point = [
                place[0] + radius * (cosine * x - sine * y),
                place[1] + radius * (sine * x + cosine * y),
            ];
        }
    }
    outlines
}

/// A turned rectangle over the border of the glyph, which hides at most about a third of it.
fn patch(radius: f32, place: Point, rng: &mut ChaCha8Rng) -> Vec<Point> {
    let direction = rng.random_range(0.0..TAU);
    let distance = radius * rng.random_range(0.65..0.95);
    let centre = [
        place[0] + distance * direction.cos(),
        place[1] + distance * direction.sin(),
    ];
    let sides = [
        radius * rng.random_range(0.25..0.5),
        radius * rng.random_range(0.2..0.4),
    ];
    turned_rectangle(centre, sides, rng.random_range(0.0..TAU))
}

/// A stroke across the canvas, or a fragment: a small polygon or a small glyph.
fn clutter(canvas: &mut Canvas, ink: Colour, rng: &mut ChaCha8Rng) {
    let place = [
        rng.random_range(0.0..SIDE as f32),
        rng.random_range(0.0..SIDE as f32),
    ];
    // A part of the clutter has the glyph's colour, so that colour alone does not find the glyph.
    let hue = if rng.random_bool(0.25) {
        ink
    } else {
        colour(0.05..0.95, rng)
    };
    let mask = if rng.random_bool(0.5) {
        let sides = [rng.random_range(3.0..16.0), rng.random_range(0.3..0.8)];
        fill([turned_rectangle(place, sides, rng.random_range(0.0..TAU)).as_slice()])
    } else {
        let label = rng.random_range(0..GLYPH_CLASSES.len());
        let radius = rng.random_range(1.5..3.2);
        fill(pose(label, radius, place, 0.5, rng).iter().map(Vec::as_slice))
    };
    canvas.paint(
        &mask,
        &Paint {
            colour: hue,
            ..Paint::default()
        },
    );
}

fn turned_rectangle(centre: Point, [half_length, half_width]: [f32; 2], angle: f32) -> Vec<Point> {
    let (sine, cosine) = angle.sin_cos();
    let corner = |x: f32, y: f32| {
        [
            centre[0] + cosine * x - sine * y,
            centre[1] + sine * x + cosine * y,
        ]
    };
    let (l, w) = (half_length, half_width);
    vec![corner(-l, -w), corner(l, -w), corner(l, w), corner(-l, w)]
}

/// A number of pieces with this mean, at most one and a half times the mean.
fn pieces(mean: f32, rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0.5 * mean..=1.5 * mean).round() as usize
}

/// A number from -`reach` to `reach`.
fn centred(reach: f32, rng: &mut ChaCha8Rng) -> f32 {
    rng.random_range(-reach..=reach)
}

fn colour(range: Range<f32>, rng: &mut ChaCha8Rng) -> Colour {
    std::array::from_fn(|_| rng.random_range(range.clone()))
}

/// A dark colour and a light one that can be told apart; the ground is the dark one most of the
/// time.
fn ground_and_ink(difficulty: f32, rng: &mut ChaCha8Rng) -> (Colour, Colour) {
    let distance = |a: Colour, b: Colour| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f32>()
            .sqrt()
    };
    let dark = colour(0.05..0.6, rng);
    let light = (0..8)
        .map(|_| colour(0.4..0.95, rng))
        .find(|&light| distance(light, dark) > CONTRAST);
    // Nearly every try passes; white always does.
    let light = light.unwrap_or([0.95; 3]);
    if rng.random_bool(f64::from(0.5 * difficulty)) {
        (light, dark)
    } else {
        (dark, light)
    }
}

/// A colour that changes over the canvas: a gradient and stripes.
#[derive(Default)]
struct Paint {
    colour: Colour,
    /// Change of each channel from the middle to a border, along `direction`.
    gradient: Colour,
    direction: Point,
    /// Height of the stripes' wave, and its turn per pixel.
    stripes: f32,
    wave: Point,
}

impl Paint {
    fn new(colour: Colour, difficulty: f32, rng: &mut ChaCha8Rng) -> Self {
        let (y, x) = rng.random_range(0.0..TAU).sin_cos();
        let (wave_y, wave_x) = rng.random_range(0.0..TAU).sin_cos();
        let turn = rng.random_range(0.3..1.6);
        Self {
            colour,
            gradient: std::array::from_fn(|_| centred(0.3 * difficulty, rng)),
            direction: [x / MIDDLE, y / MIDDLE],
            stripes: rng.random_range(0.0..=0.16 * difficulty),
            wave: [turn * wave_x, turn * wave_y],
        }
    }
}

/// Three planes of 32×32, in 0 to 1.
struct Canvas([Mask; 3]);

impl Canvas {
    fn new() -> Self {
        Self([[0.0; SIDE * SIDE]; 3])
    }

    /// Covers the canvas with `paint` where `mask` says so.
    fn paint(&mut self, mask: &Mask, paint: &Paint) {
        // The wave along a row is turned pixel by pixel instead of calling sin for each.
        let (turn_sine, turn_cosine) = paint.wave[0].sin_cos();
        for row in 0..SIDE {
            let span = row * SIDE..(row + 1) * SIDE;
            let mask = &mask[span.clone()];
            if mask.iter().all(|&part| part == 0.0) {
                continue;
            }
            let y = row as f32 + 0.5 - MIDDLE;
            let (mut sine, mut cosine) = (paint.wave[1] * y).sin_cos();
            let mut wave = [0.0; SIDE];
            let mut ramp = [0.0; SIDE];
            for (column, (wave, ramp)) in wave.iter_mut().zip(&mut ramp).enumerate() {
                *wave = paint.stripes * sine;
                (sine, cosine) = (
                    sine * turn_cosine + cosine * turn_sine,
                    cosine * turn_cosine - sine * turn_sine,
                );
                *ramp = paint.direction[0] * (column as f32 + 0.5 - MIDDLE) + paint.direction[1] * y;
            }
            for (plane, (colour, gradient)) in self.0.iter_mut().zip(paint.colour.iter().zip(paint.gradient))
            {
                for (((pixel, part), wave), ramp) in
                    plane[span.clone()].iter_mut().zip(mask).zip(&wave).zip(&ramp)
                {
                    *pixel += part * (colour + gradient * ramp + wave - *pixel);
                }
            }
        }
    }

    /// The planes as bytes, with noise of standard deviation `sigma` on each.
    fn bytes(&self, sigma: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut random = [0; 4 * SIDE];
        let mut pixels = Vec::with_capacity(3 * SIDE * SIDE);
        for row in self.0.iter().flat_map(|plane| plane.chunks_exact(SIDE)) {
            rng.fill_bytes(&mut random);
            for (&pixel, bytes) in row.iter().zip(random.chunks_exact(4)) {
                // The sum of four uniform bytes is close to normal: mean 510, standard deviation
                // 147.8.
                let sum: u16 = bytes.iter().map(|&byte| u16::from(byte)).sum();
                let noise = (f32::from(sum) - 510.0) / 147.8;
                pixels.push(((pixel + sigma * noise) * 255.0 + 0.5) as u8);
            }
        }
        pixels
    }
}
