//! The sliding window that convolutions and pools share: kernel, stride, dilation, padding along
//! the spatial axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html>, attributes `auto_pad`, `dilations`, `pads`,
//! `strides`.

use crate::op::{NodeReader, OpError};

/// How the borders are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Stated for each axis: (before, after).
    Explicit(Vec<(usize, usize)>),
    /// Output extent = ⌈input / stride⌉, the odd element after.
    SameUpper,
    /// Output extent = ⌈input / stride⌉, the odd element before.
    SameLower,
}

/// How far a window, or the border on both sides, may go beyond an axis of this extent. Networks
/// stay far below; what goes further comes from a broken file, and a few bytes of it would ask for
/// all of the memory or time.
pub(super) fn reach(extent: usize) -> usize {
    extent.saturating_mul(4).saturating_add(256)
}

/// A window over the spatial axes of `[batch, channels, spatial…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extent of the window.
    pub kernel: Vec<usize>,
    /// Step from one position to the next.
    pub strides: Vec<usize>,
    /// Distance of neighbouring elements of the window.
    pub dilations: Vec<usize>,
    /// How the borders are filled.
    pub padding: Padding,
}

impl Window {
    /// Reads the shared attributes for a kernel of known extents.
    ///
    /// # Errors
    /// Attributes of another length, a stride or dilation of 0, an unknown `auto_pad`.
    pub fn read(node: &NodeReader<'_>, kernel: Vec<usize>) -> Result<Self, OpError> {
        let axes = kernel.len();
        let strides = node.sizes("strides", axes, 1)?;
        let dilations = node.sizes("dilations", axes, 1)?;
        for (name, sizes) in [("strides", &strides), ("dilations", &dilations)] {
            if sizes.contains(&0) {
                return Err(node.bad(name, format!("{sizes:?}"), "numbers of 1 or more"));
            }
        }
        let pads = node.sizes("pads", 2 * axes, 0)?;
        let padding = match node.text("auto_pad")? {
            None | Some("NOTSET" | "") => {
                Padding::Explicit((0..axes).map(|axis| (pads[axis], pads[axes + axis])).collect())
            }
            Some("VALID") => Padding::Explicit(vec![(0, 0); axes]),
            Some("SAME_UPPER") => Padding::SameUpper,
            Some("SAME_LOWER") => Padding::SameLower,
            Some(other) => {
                return Err(node.bad("auto_pad", other, "NOTSET, SAME_UPPER, SAME_LOWER or VALID"));
            }
        };
        Ok(Self {
            kernel,
            strides,
            dilations,
            padding,
        })
    }

    /// The input elements that the window spans along an axis.
    pub fn span(&self, axis: usize) -> usize {
        self.dilations[axis] * (self.kernel[axis] - 1) + 1
    }

    /// (before, after) of each axis for an input of these spatial extents.
    pub fn pads(&self, spatial: &[usize]) -> Vec<(usize, usize)> {
        let lower = match &self.padding {
            Padding::Explicit(pads) => return pads.clone(),
            Padding::SameUpper => false,
            Padding::SameLower => true,
        };
        let same = |(axis, extent): (usize, &usize)| {
            let output = extent.div_ceil(self.strides[axis]);
            let total = ((output.max(1) - 1) * self.strides[axis] + self.span(axis)).saturating_sub(*extent);
            let (small, large) = (total / 2, total - total / 2);
            if lower { (large, small) } else { (small, large) }
        };
        spatial.iter().enumerate().map(same).collect()
    }

    /// The output's spatial extents. With `ceil`, a last window that starts inside the input (or
    /// the padding before it) counts although it ends outside.
    ///
    /// # Errors
    /// An input smaller than the window, or so much smaller than window and border that a file must
    /// be wrong.
    pub fn output(&self, name: &'static str, spatial: &[usize], ceil: bool) -> Result<Vec<usize>, OpError> {
        let pads = self.pads(spatial);
        let extent = |axis: usize| {
            let (before, after) = pads[axis];
            let most = reach(spatial[axis]);
            if self.span(axis) > most || before + after > most {
                return Err(OpError::Shape {
                    name,
                    got: spatial.to_vec(),
                    expected: format!(
                        "more elements along spatial axis {axis} for a window over {} with a border of {}: here both are at most {most}",
                        self.span(axis),
                        before + after
                    ),
                });
            }
            let free = (spatial[axis] + before + after)
                .checked_sub(self.span(axis))
                .ok_or_else(|| OpError::Shape {
                    name,
                    got: spatial.to_vec(),
                    expected: format!(
                        "at least {} elements along spatial axis {axis}",
                        self.span(axis) - before - after
                    ),
                })?;
            let stride = self.strides[axis];
            let mut count = if ceil {
                free.div_ceil(stride)
            } else {
                free / stride
            } + 1;
            if ceil && (count - 1) * stride >= spatial[axis] + before {
                count -= 1;
            }
            Ok(count)
        };
        (0..spatial.len()).map(extent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(padding: Padding) -> Window {
        Window {
            kernel: vec![3],
            strides: vec![2],
            dilations: vec![1],
            padding,
        }
    }

    #[test]
    fn same_padding_keeps_the_extent_over_the_stride() {
        for extent in 1..20 {
            for padding in [Padding::SameUpper, Padding::SameLower] {
                assert_eq!(
                    window(padding).output("X", &[extent], false).unwrap(),
                    [extent.div_ceil(2)]
                );
            }
        }
        assert_eq!(window(Padding::SameUpper).pads(&[4]), [(0, 1)]);
        assert_eq!(window(Padding::SameLower).pads(&[4]), [(1, 0)]);
    }

    #[test]
    fn ceil_counts_a_last_window_that_starts_inside() {
        // torch.nn.MaxPool1d(3, 2, ceil_mode=True) on 6 elements gives 3, without ceil_mode 2.
        let window = window(Padding::Explicit(vec![(0, 0)]));
        assert_eq!(window.output("X", &[6], true).unwrap(), [3]);
        assert_eq!(window.output("X", &[6], false).unwrap(), [2]);
    }

    #[test]
    fn windows_and_borders_beyond_reason_are_refused() {
        let refused = |window: Window| window.output("X", &[4], false).unwrap_err().to_string();
        let most = crate::op::read::LARGEST_SIZE;
        let border = window(Padding::Explicit(vec![(most, 0)]));
        assert!(refused(border).contains("at most 272"));
        let wide = Window {
            kernel: vec![most],
            ..window(Padding::SameUpper)
        };
        assert!(refused(wide).contains(&most.to_string()));
    }
}
