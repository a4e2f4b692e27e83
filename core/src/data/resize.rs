//! Bilinear resizing with antialiasing, byte for byte as Pillow does it.
//!
//! A teacher has usually seen pictures that Pillow resized (torchvision's `Resize` on a PIL image),
//! so its accuracy is only reproduced with the same filter: a triangle whose support grows with the
//! reduction, weights in fixed point with 22 fraction bits, columns first, rounded to bytes between
//! the two passes (Pillow, `src/libImaging/Resample.c`).

use super::Image;

const FRACTION_BITS: u32 = 22;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

/// The pixels of `window`, which must lie inside `image`.
pub(super) fn crop(image: &Image, window: Window) -> Image {
    let [channels, height, width] = image.shape;
    let Window { top, left, .. } = window;
    let mut pixels = Vec::with_capacity(channels * window.height * window.width);
    for row in
        (0..channels).flat_map(|channel| (0..window.height).map(move |row| channel * height + top + row))
    {
        let start = row * width + left;
        pixels.extend_from_slice(&image.pixels[start..start + window.width]);
    }
    Image {
        shape: [channels, window.height, window.width],
        pixels,
    }
}

/// `image` at `[height, width]`.
pub(super) fn resize(image: Image, [height, width]: [usize; 2]) -> Image {
    let [channels, old_height, old_width] = image.shape;
    let mut image = image;
    if width != old_width {
        let taps = taps(old_width, width);
        let mut pixels = Vec::with_capacity(channels * old_height * width);
        for row in image.pixels.chunks_exact(old_width) {
            pixels.extend(taps.iter().map(|tap| {
                let sum = tap
                    .weights
                    .iter()
                    .zip(&row[tap.first..])
                    .map(|(&weight, &pixel)| weight * i32::from(pixel));
                to_byte(sum.sum::<i32>() + HALF)
            }));
        }
        image = Image {
            shape: [channels, old_height, width],
            pixels,
        };
    }
    if height != old_height {
        let taps = taps(old_height, height);
        let mut pixels = Vec::with_capacity(channels * height * width);
        let mut sums = vec![0; width];
        for plane in image.pixels.chunks_exact(old_height * width) {
            for tap in &taps {
                sums.fill(HALF);
                for (&weight, row) in tap.weights.iter().zip(plane.chunks_exact(width).skip(tap.first)) {
                    sums.iter_mut()
                        .zip(row)
                        .for_each(|(sum, &pixel)| *sum += weight * i32::from(pixel));
                }
                pixels.extend(sums.iter().map(|&sum| to_byte(sum)));
            }
        }
        image = Image {
            shape: [channels, height, width],
            pixels,
        };
    }
    image
}

const HALF: i32 = 1 << (FRACTION_BITS - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// The input positions that one output position is made of, from `first` on.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let tap = |position: usize| {
        let centre = (position as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let last = ((centre + support + 0.5) as usize).min(from);
        let triangle = |input: usize| (1.0 - ((input as f64 - centre + 0.5) / support).abs()).max(0.0);
        let total: f64 = (first..last).map(triangle).sum();
        let fixed = |weight: f64| (0.5 + weight / total * f64::from(1 << FRACTION_BITS)) as i32;
        Tap {
            first,
            weights: (first..last).map(|input| fixed(triangle(input))).collect(),
        }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(height: usize, width: usize) -> Image {
        let pixel = |i: usize, j: usize| ((i * 97 + j * 57 + i * j * 13) % 256) as u8;
        let pixels = (0..height)
            .flat_map(|i| (0..width).map(move |j| pixel(i, j)))
            .collect();
        Image {
            shape: [1, height, width],
            pixels,
        }
    }

    // Image.fromarray(pattern).resize((width, height), Image.BILINEAR), Pillow 13.0.0.
    #[test]
    fn bytes_equal_pillows() {
        let resized = |from: [usize; 2], to| resize(pattern(from[0], from[1]), to).pixels;
        assert_eq!(
            resized([7, 9], [3, 4]),
            [105, 135, 105, 107, 131, 131, 93, 112, 156, 149, 140, 150]
        );
        #[rustfmt::skip]
        assert_eq!(
            resized([4, 3], [6, 5]),
            [
                0, 23, 57, 91, 114, 49, 74, 112, 150, 176, 113, 125, 143, 186, 215,
                178, 125, 45, 94, 126, 115, 99, 76, 130, 166, 35, 73, 131, 189, 227,
            ]
        );
        assert_eq!(
            resized([5, 8], [5, 3]),
            [
                63, 151, 100, 154, 129, 78, 104, 101, 97, 121, 115, 109, 172, 130, 87
            ]
        );
        let large = resized([37, 53], [16, 16]);
        assert_eq!(large.iter().map(|&byte| u32::from(byte)).sum::<u32>(), 32_011);
        assert_eq!(large[..8], [117, 116, 107, 122, 134, 113, 132, 135]);
        assert_eq!(large[248..], [78, 65, 72, 107, 138, 141, 81, 65]);
    }

    // Image.fromarray(pattern(7, 9)).crop((2, 1, 8, 6)).resize((4, 4), Image.BILINEAR), Pillow
    // 13.0.0.
    #[test]
    fn a_crop_is_resized_without_its_surroundings() {
        let window = Window {
            top: 1,
            left: 2,
            height: 5,
            width: 6,
        };
        let resized = resize(crop(&pattern(7, 9), window), [4, 4]);
        assert_eq!(
            resized.pixels,
            [
                159, 99, 120, 55, 148, 94, 89, 108, 148, 115, 83, 116, 159, 141, 121, 103
            ]
        );
    }

    #[test]
    fn channels_do_not_mix() {
        let one = pattern(6, 5);
        let image = Image {
            shape: [2, 6, 5],
            pixels: [one.pixels.clone(), vec![9; 30]].concat(),
        };
        let resized = resize(image, [4, 7]);
        assert_eq!(resized.pixels[..28], resize(one, [4, 7]).pixels);
        assert_eq!(resized.pixels[28..], [9; 28]);
    }
}
