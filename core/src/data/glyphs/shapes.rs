//! The outlines of the twenty classes, around the origin, at most one unit away from it.
//!
//! Most classes have a near relative (circle and ellipse, pentagon and hexagon, stars of five and
//! six points, `plus` and `dagger`, `ess` and its mirror image `zed`), so that small, rotated or
//! half-hidden ones can be told apart only by a network that looks closely.

use super::raster::Point;
use std::f32::consts::{PI, TAU};

/// The class names; a label is an index into them.
pub const GLYPH_CLASSES: [&str; 20] = [
    "circle",
    "ellipse",
    "ring",
    "crescent",
    "half-disc",
    "drop",
    "triangle",
    "square",
    "pentagon",
    "hexagon",
    "star-5",
    "star-6",
    "plus",
    "dagger",
    "arrow",
    "heart",
    "tee",
    "ell",
    "ess",
    "zed",
];

/// The closed outlines of class `label`; `vary` (0 to 1) moves the proportions within the class.
pub fn outlines(label: usize, vary: f32) -> Vec<Vec<Point>> {
    let between = |low: f32, high: f32| low + (high - low) * vary;
    match GLYPH_CLASSES[label] {
        "circle" => vec![arc(0.9, 0.0, TAU)],
        "ellipse" => vec![scaled(arc(1.0, 0.0, TAU), 1.0, between(0.58, 0.74))],
        "ring" => vec![arc(0.95, 0.0, TAU), arc(between(0.4, 0.65), TAU, 0.0)],
        "crescent" => vec![crescent(between(0.45, 0.7))],
        "half-disc" => vec![moved(arc(1.0, 0.0, PI), 0.0, -0.42)],
        "drop" => vec![drop(between(1.5, 1.8))],
        "triangle" => vec![regular(3)],
        "square" => vec![regular(4)],
        "pentagon" => vec![regular(5)],
        "hexagon" => vec![regular(6)],
        "star-5" => vec![star(5, between(0.4, 0.52))],
        "star-6" => vec![star(6, between(0.48, 0.6))],
        "plus" => vec![cross(between(0.2, 0.32), 0.0)],
        "dagger" => vec![cross(between(0.18, 0.27), between(0.3, 0.42))],
        "arrow" => vec![arrow(between(0.17, 0.3))],
        "heart" => vec![heart()],
        "tee" => vec![letter(&[
            [-0.8, -0.85],
            [0.8, -0.85],
            [0.8, -0.3],
            [0.28, -0.3],
            [0.28, 0.9],
            [-0.28, 0.9],
            [-0.28, -0.3],
            [-0.8, -0.3],
        ])],
        "ell" => vec![letter(&[
            [-0.6, -0.9],
            [-0.05, -0.9],
            [-0.05, 0.35],
            [0.7, 0.35],
            [0.7, 0.9],
            [-0.6, 0.9],
        ])],
        "ess" => vec![zigzag(between(0.26, 0.36), 1.0)],
        _ => vec![zigzag(between(0.26, 0.36), -1.0)],
    }
}

/// Points on a circle from one angle to the other.
fn arc(radius: f32, from: f32, to: f32) -> Vec<Point> {
    let steps = ((to - from).abs() * 5.0).ceil();
    let angles = (0..=steps as usize).map(|n| from + (to - from) * n as f32 / steps);
    angles
        .map(|angle| [radius * angle.cos(), radius * angle.sin()])
        .collect()
}

fn scaled(points: Vec<Point>, x: f32, y: f32) -> Vec<Point> {
    points
        .into_iter()
        .map(|point| [point[0] * x, point[1] * y])
        .collect()
}

fn moved(points: Vec<Point>, x: f32, y: f32) -> Vec<Point> {
    points
        .into_iter()
        .map(|point| [point[0] + x, point[1] + y])
        .collect()
}

/// A regular polygon.
fn regular(corners: usize) -> Vec<Point> {
    star_points(corners, |_| 1.0)
}

/// A star with its inner corners at `inner`.
fn star(points: usize, inner: f32) -> Vec<Point> {
    star_points(2 * points, |n| if n % 2 == 0 { 1.0 } else { inner })
}

fn star_points(corners: usize, radius: impl Fn(usize) -> f32) -> Vec<Point> {
    let angle = |n: usize| TAU * n as f32 / corners as f32 - PI / 2.0;
    (0..corners)
        .map(|n| [radius(n) * angle(n).cos(), radius(n) * angle(n).sin()])
        .collect()
}

/// A disc without the disc that is moved to the right by `shift`.
fn crescent(shift: f32) -> Vec<Point> {
    // The circles, both of radius 0.95, meet where x is half the shift.
    let angle = (0.5 * shift / 0.95).acos();
    let mut points = arc(0.95, angle, TAU - angle);
    points.extend(moved(arc(0.95, PI + angle, PI - angle), shift, 0.0));
    moved(points, 0.2, 0.0)
}

/// A disc with a tip at `length` radii.
fn drop(length: f32) -> Vec<Point> {
    let radius = 1.9 / (1.0 + length);
    // The tangents from the tip touch the circle at this angle.
    let angle = (1.0 / length).acos();
    let mut points = arc(radius, angle, TAU - angle);
    points.push([radius * length, 0.0]);
    moved(points, -0.95 + radius, 0.0)
}

/// Two beams of half width `beam`; the crossing lies `up` above the middle, where the crossbeam is
/// shorter by as much.
fn cross(beam: f32, up: f32) -> Vec<Point> {
    let (reach, arm) = (0.95, 0.95 - 0.8 * up);
    vec![
        [-beam, -reach],
        [beam, -reach],
        [beam, -up - beam],
        [arm, -up - beam],
        [arm, -up + beam],
        [beam, -up + beam],
        [beam, reach],
        [-beam, reach],
        [-beam, -up + beam],
        [-arm, -up + beam],
        [-arm, -up - beam],
        [-beam, -up - beam],
    ]
}

fn arrow(shaft: f32) -> Vec<Point> {
    vec![
        [0.0, -1.0],
        [0.75, -0.1],
        [shaft, -0.1],
        [shaft, 0.95],
        [-shaft, 0.95],
        [-shaft, -0.1],
        [-0.75, -0.1],
    ]
}

/// Two half-discs over a tip.
fn heart() -> Vec<Point> {
    let mut points = moved(arc(0.46, 0.85 * PI, TAU), -0.44, -0.35);
    points.extend(moved(arc(0.46, PI, 2.15 * PI), 0.44, -0.35));
    points.push([0.0, 0.95]);
    points
}

fn letter(corners: &[Point]) -> Vec<Point> {
    corners.to_vec()
}

/// Two shifted bars; `side` 1 or -1 chooses between the mirror images.
fn zigzag(bar: f32, side: f32) -> Vec<Point> {
    let points = vec![
        [-0.9, 0.0],
        [-0.3, 0.0],
        [-0.3, -2.0 * bar],
        [0.9, -2.0 * bar],
        [0.9, 0.0],
        [0.3, 0.0],
        [0.3, 2.0 * bar],
        [-0.9, 2.0 * bar],
    ];
    scaled(points, side, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outline_fits_the_unit_it_promises() {
        for (label, name) in GLYPH_CLASSES.iter().enumerate() {
            for vary in [0.0, 0.5, 1.0] {
                let points: Vec<Point> = outlines(label, vary).concat();
                let reach = points.iter().map(|[x, y]| x.hypot(*y)).fold(0.0, f32::max);
                assert!((0.8..1.25).contains(&reach), "{name}: {reach}");
                assert!(
                    points.iter().all(|[x, y]| x.is_finite() && y.is_finite()),
                    "{name}"
                );
            }
        }
    }
}
