//! The forward pass: one over memory, whatever of it is asked for.

use rayon::prelude::*;

use super::{Affine, Clamp, tasks};
use crate::parallel::{Shared, written};
use crate::simd::{Kernel, Lanes, Simd, by_registers, load, store};

/// Normalises, adds the residual and activates, all of it optional: `[pixels, channels]` like the
/// input.
pub fn apply(
    simd: Simd,
    x: &[f32],
    channels: usize,
    affine: Option<&Affine>,
    residual: Option<&[f32]>,
    clamp: Clamp,
) -> Vec<f32> {
    // SAFETY: the tasks cover all pixels.
    unsafe {
        written(x.len(), |output| {
            let output = Shared::new(output);
            tasks(x.len() / channels, channels)
                .into_par_iter()
                .for_each(|pixels| {
                    let elements = pixels.start * channels..pixels.end * channels;
                    simd.run(Apply {
                        x: x[elements.clone()].as_ptr(),
                        output: output.part(elements.clone()),
                        channels,
                        affine,
                        residual: residual.map(|residual| &residual[elements]),
                        clamp,
                    });
                });
        })
    }
}

/// Adds the residual and activates in place: what is left to do with a part of a convolution's
/// output, `[pixels, channels]`.
pub(crate) fn finish(simd: Simd, part: &mut [f32], residual: Option<&[f32]>, clamp: Clamp) {
    simd.run(Apply {
        x: part.as_ptr(),
        output: part,
        channels: 1,
        affine: None,
        residual,
        clamp,
    });
}

struct Apply<'a> {
    /// As many elements as the output, or the output itself.
    x: *const f32,
    output: &'a mut [f32],
    channels: usize,
    affine: Option<&'a Affine>,
    residual: Option<&'a [f32]>,
    clamp: Clamp,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let len = self.output.len();
        assert!(self.residual.is_none_or(|residual| residual.len() == len));
        assert!(
            self.affine.is_none_or(
                |affine| affine.scale.len() == self.channels && affine.shift.len() == self.channels
            )
        );
        let output = self.output.as_mut_ptr();
        // Without constants of their own, channels need not be told apart.
        let channels = if self.affine.is_some() { self.channels } else { len };
        for pixel in (0..len).step_by(channels.max(1)) {
            by_registers::<L>(
                channels,
                #[inline(always)]
                |channel, count| {
                    let at = pixel + channel;
                    // SAFETY: `len` is a whole number of pixels, and every buffer has `len`
                    // elements.
                    unsafe {
                        let mut z: L = load(self.x.add(at), count);
                        if let Some(affine) = self.affine {
                            let scale = load(affine.scale.as_ptr().add(channel), count);
                            z = z.mul_add(scale, load(affine.shift.as_ptr().add(channel), count));
                        }
                        if let Some(residual) = self.residual {
                            z = z.add(load(residual.as_ptr().add(at), count));
                        }
                        store(self.clamp.of(z), output.add(at), count);
                    }
                },
            );
        }
    }
}
