//! Random numbers that depend on what they are for and on nothing else.
//!
//! Each use has its own ChaCha8 stream: the key *is* (seed, purpose, epoch, index), so streams need
//! no hashing, cannot collide, and any image of any epoch can be drawn first, last or twice with
//! the same result.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What a stream is drawn for; streams of different purposes are independent under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of the images in an epoch.
    Order,
    /// The random transforms of one image in one of its views, in the place of the epoch.
    Augment,
    /// Drawing a training image of `glyphs`.
    GlyphTrain,
    /// Drawing a test image of `glyphs`.
    GlyphTest,
}

/// The generator for `purpose` at (`epoch`, `index`) under `seed`.
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch, index]) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn each_part_of_the_key_gives_another_stream() {
        let draw = |seed, purpose, epoch, index| stream(seed, purpose, epoch, index).next_u64();
        let first = draw(1, Purpose::Order, 2, 3);
        assert_eq!(first, draw(1, Purpose::Order, 2, 3));
        for other in [
            draw(2, Purpose::Order, 2, 3),
            draw(1, Purpose::Augment, 2, 3),
            draw(1, Purpose::Order, 3, 3),
            draw(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(first, other);
        }
    }
}
