//! The extents of a convolution.

/// What a convolution is applied to, and how. All in elements; two spatial axes, height first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Pictures.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input and of the output.
    pub channels: [usize; 2],
    /// Groups of channels that do not see one another; divides both numbers of channels.
    pub groups: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step from one output pixel to the next.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Zeros (before, after) each axis.
    pub padding: [(usize, usize); 2],
}

impl ConvShape {
    /// Height and width of the output; 0 where the kernel does not fit.
    pub fn output(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let padded = self.input[axis] + self.padding[axis].0 + self.padding[axis].1;
            let span = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            padded
                .checked_sub(span)
                .map_or(0, |free| free / self.stride[axis] + 1)
        })
    }

    /// Positions of the kernel's window.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Pixels of one input and of one output picture.
    pub(crate) fn pixels(&self) -> [usize; 2] {
        let output = self.output();
        [self.input[0] * self.input[1], output[0] * output[1]]
    }

    /// Elements of the input, `[batch, height, width, channels]`.
    pub fn input_len(&self) -> usize {
        self.batch * self.pixels()[0] * self.channels[0]
    }

    /// Elements of the output, `[batch, height, width, channels]`.
    pub fn output_len(&self) -> usize {
        self.batch * self.pixels()[1] * self.channels[1]
    }

    /// Elements of the weight, `[out, in / groups, height, width]`.
    pub fn weight_len(&self) -> usize {
        self.channels[1] * (self.channels[0] / self.groups) * self.taps()
    }

    /// Whether every channel is convolved with a kernel of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.channels[0] && self.groups == self.channels[1]
    }

    /// Multiplications of one forward pass, those with padding included; either gradient takes as
    /// many.
    pub fn multiplications(&self) -> u64 {
        (self.output_len() * (self.channels[0] / self.groups) * self.taps()) as u64
    }

    /// The input pixel that an output pixel sees through a tap, both counted within one picture;
    /// `None` in the padding.
    pub(crate) fn source(&self, output: usize, tap: usize) -> Option<usize> {
        let columns = self.output()[1];
        let at = [output / columns, output % columns];
        let tap = [tap / self.kernel[1], tap % self.kernel[1]];
        let mut pixel = [0; 2];
        for axis in 0..2 {
            let padded = at[axis] * self.stride[axis] + tap[axis] * self.dilation[axis];
            pixel[axis] = padded.checked_sub(self.padding[axis].0)?;
            if pixel[axis] >= self.input[axis] {
                return None;
            }
        }
        Some(pixel[0] * self.input[1] + pixel[1])
    }

    /// The output pixel that sees an input pixel through a tap: [`source`](Self::source) read
    /// backwards.
    pub(crate) fn sink(&self, input: usize, tap: usize) -> Option<usize> {
        let output = self.output();
        let at = [input / self.input[1], input % self.input[1]];
        let tap = [tap / self.kernel[1], tap % self.kernel[1]];
        let mut pixel = [0; 2];
        for axis in 0..2 {
            let padded = (at[axis] + self.padding[axis].0).checked_sub(tap[axis] * self.dilation[axis])?;
            if !padded.is_multiple_of(self.stride[axis]) {
                return None;
            }
            pixel[axis] = padded / self.stride[axis];
            if pixel[axis] >= output[axis] {
                return None;
            }
        }
        Some(pixel[0] * output[1] + pixel[1])
    }
}
