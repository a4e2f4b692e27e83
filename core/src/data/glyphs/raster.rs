//! Filling outlines with exact anti-aliasing, on a canvas of 32×32 pixels.
//!
//! For each edge the signed area to its right is added to the pixels that the edge passes, as
//! differences along the row; a running sum along each row then gives the covered part of every
//! pixel. The cost grows with the length of the outline in pixels, not with its area, and no
//! sampling is involved.

/// Pixels on a side.
pub const SIDE: usize = 32;

/// `[x, y]` in pixels; the canvas spans 0 to 32, y points down.
pub type Point = [f32; 2];

/// The covered part, 0 to 1, of each pixel, `[32, 32]`.
pub type Mask = [f32; SIDE * SIDE];

/// How much of each pixel lies inside the closed `outlines`. An outline that turns the other way
/// cuts a hole.
pub fn fill<'a>(outlines: impl IntoIterator<Item = &'a [Point]>) -> Mask {
    // Two columns to spare: an edge changes the sum up to one column after the one it ends in.
    let mut changes = [[0.0; SIDE + 2]; SIDE];
    for outline in outlines {
        let successors = outline.iter().cycle().skip(1);
        for (&from, &to) in outline.iter().zip(successors) {
            add_edge(&mut changes, from, to);
        }
    }
    let mut mask = [0.0; SIDE * SIDE];
    for (row, changes) in mask.chunks_exact_mut(SIDE).zip(&changes) {
        let mut sum = 0.0_f32;
        for (pixel, change) in row.iter_mut().zip(changes) {
            sum += change;
            *pixel = sum.abs().min(1.0);
        }
    }
    mask
}

fn add_edge(changes: &mut [[f32; SIDE + 2]; SIDE], from: Point, to: Point) {
    let (sign, top, bottom) = if from[1] <= to[1] {
        (1.0, from, to)
    } else {
        (-1.0, to, from)
    };
    let height = bottom[1] - top[1];
    if height <= 0.0 {
        return;
    }
    let slope = (bottom[0] - top[0]) / height;
    let first = top[1].max(0.0) as usize;
    let last = (bottom[1].max(0.0).ceil() as usize).min(SIDE);
    for (row, changes) in changes.iter_mut().enumerate().take(last).skip(first) {
        let (start, end) = ((row as f32).max(top[1]), (row as f32 + 1.0).min(bottom[1]));
        // What lies beyond a border counts as lying on it.
        let x = |y: f32| (top[0] + slope * (y - top[1])).clamp(0.0, SIDE as f32);
        let (x0, x1) = (x(start), x(end));
        let (left, right) = (x0.min(x1), x0.max(x1));
        let weight = sign * (end - start);
        // Mean of max(column - x, 0) over the x of the edge in this row.
        let area_up_to = |column: f32| {
            if column <= left {
                0.0
            } else if column >= right {
                column - 0.5 * (left + right)
            } else {
                (column - left) * (column - left) / (2.0 * (right - left))
            }
        };
        let column = left as usize;
        let (mut before, mut covered) = (0.0, 0.0);
        for (offset, change) in changes[column..(right as usize + 2)].iter_mut().enumerate() {
            let up_to = area_up_to((column + offset + 1) as f32);
            *change += weight * (up_to - before - covered);
            covered = up_to - before;
            before = up_to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f32, top: f32, side: f32) -> [Point; 4] {
        [
            [left, top],
            [left + side, top],
            [left + side, top + side],
            [left, top + side],
        ]
    }

    #[test]
    fn pixels_that_are_partly_covered_get_that_part() {
        let mask = fill([square(3.25, 5.5, 2.0).as_slice()]);
        assert_eq!(mask[5 * SIDE + 2..5 * SIDE + 7], [0.0, 0.375, 0.5, 0.125, 0.0]);
        assert_eq!(mask[6 * SIDE + 2..6 * SIDE + 7], [0.0, 0.75, 1.0, 0.25, 0.0]);
        assert!((mask.iter().sum::<f32>() - 4.0).abs() < 1e-5);
        assert_eq!(mask[..5 * SIDE], [0.0; 5 * SIDE]);
    }

    #[test]
    fn areas_are_those_of_geometry() {
        let triangle = [[2.3, 3.1], [29.7, 11.9], [7.4, 28.6]];
        let area = |mask: Mask| mask.iter().sum::<f32>();
        let cross = |a: Point, b: Point| a[0] * b[1] - a[1] * b[0];
        let expected = 0.5
            * (cross(triangle[0], triangle[1])
                + cross(triangle[1], triangle[2])
                + cross(triangle[2], triangle[0]));
        assert!((area(fill([triangle.as_slice()])) - expected).abs() < 1e-3);
        let circle = |radius: f32, turn: f32| -> Vec<Point> {
            (0..256)
                .map(|n| (n as f32 / 256.0 * turn).sin_cos())
                .map(|(y, x)| [16.0 + radius * x, 16.0 + radius * y])
                .collect()
        };
        let tau = std::f32::consts::TAU;
        assert!((area(fill([circle(10.0, tau).as_slice()])) - 314.13).abs() < 0.1);
        let ring = fill([circle(10.0, tau).as_slice(), circle(5.0, -tau).as_slice()]);
        assert!((area(ring) - (314.13 - 78.53)).abs() < 0.1);
        assert!(ring[16 * SIDE + 16].abs() < 1e-5);
    }

    #[test]
    fn what_lies_outside_the_canvas_is_cut_off() {
        assert_eq!(fill([square(-50.0, -50.0, 200.0).as_slice()]), [1.0; SIDE * SIDE]);
        let mask = fill([square(-9.0, 30.5, 100.0).as_slice()]);
        assert!((mask.iter().sum::<f32>() - 48.0).abs() < 1e-4);
        assert_eq!(fill([square(40.0, 3.0, 5.0).as_slice()]), [0.0; SIDE * SIDE]);
        assert_eq!(
            fill([square(3.0, -9.0, 5.0).as_slice(), [].as_slice()]),
            [0.0; SIDE * SIDE]
        );
    }
}
