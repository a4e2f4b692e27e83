//! What the windowed pools share: their attributes, and a line treated as a picture of height 1.
//!
//! Burn's pools pad both sides alike and round partial windows by rules of their own. Here the
//! number of windows is ONNX's, and where Burn would find another one, the border is written out
//! first.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::ops::PadMode;
use potstill_kernels::pool::PoolShape;

use super::Window;
use crate::op::{Fact, NodeReader, OpError};
use crate::value::Value;

/// A pool's window and how partial windows at the end count.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    window: Window,
    ceil: bool,
}

/// A window placed on a picture: every field is (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// The border before the input.
    pub before: [usize; 2],
    /// The border after the input.
    pub after: [usize; 2],
    /// The picture's extents.
    pub input: [usize; 2],
    /// The number of windows.
    pub output: [usize; 2],
}

impl Pool {
    /// Reads the attributes of a pool over 1 to 3 spatial axes.
    pub fn read(node: &NodeReader<'_>) -> Result<Self, OpError> {
        let stated = node
            .ints("kernel_shape")?
            .ok_or_else(|| OpError::MissingAttribute {
                attribute: "kernel_shape".to_owned(),
            })?;
        if !matches!(stated.len(), 1..=3) {
            return Err(OpError::Unsupported {
                what: format!("a pool over {} spatial axes", stated.len()),
            });
        }
        let kernel = node.sizes("kernel_shape", stated.len(), 1)?;
        if kernel.contains(&0) {
            return Err(node.bad("kernel_shape", format!("{kernel:?}"), "numbers of 1 or more"));
        }
        let window = Window::read(node, kernel)?;
        if let super::Padding::Explicit(pads) = &window.padding
            && pads
                .iter()
                .zip(&window.kernel)
                .any(|((before, after), kernel)| before.max(after) >= kernel)
        {
            // ONNX Runtime's rule: a window must not lie in the border alone.
            return Err(node.bad("pads", format!("{pads:?}"), "pads smaller than the kernel"));
        }
        Ok(Self {
            window,
            ceil: node.flag("ceil_mode", false)?,
        })
    }

    /// Of a pool over three axes: the one over the last two, and the one over the first, as over
    /// pictures of one column. Extremes and sums are made axis by axis, and how many elements of a
    /// window count is a product over the axes. `None` for a pool over fewer.
    fn parts(&self) -> Option<(Self, Self)> {
        let window = &self.window;
        let [_, _, _] = window.kernel.as_slice() else {
            return None;
        };
        let with = |of: &dyn Fn(&[usize]) -> Vec<usize>, pads: Vec<(usize, usize)>| Self {
            window: Window {
                kernel: of(&window.kernel),
                strides: of(&window.strides),
                dilations: of(&window.dilations),
                padding: match &window.padding {
                    super::Padding::Explicit(_) => super::Padding::Explicit(pads),
                    same => same.clone(),
                },
            },
            ceil: self.ceil,
        };
        let pads = match &window.padding {
            super::Padding::Explicit(pads) => pads.clone(),
            _ => vec![(0, 0); 3],
        };
        let planes = with(&|sizes| sizes[1..].to_vec(), pads[1..].to_vec());
        let depth = with(&|sizes| vec![sizes[0], 1], vec![pads[0], (0, 0)]);
        Some((planes, depth))
    }

    /// Pools a volume `[batch, channels, depth, height, width]` by two pools over pictures, each
    /// done by `pool`; `None` where the pool is not over three axes.
    ///
    /// # Errors
    /// What `pool` refuses.
    pub fn over_volume(
        &self,
        x: &Value,
        pool: impl Fn(&Self, Value) -> Result<Value, OpError>,
    ) -> Option<Result<Value, OpError>> {
        let (planes, depth) = self.parts()?;
        let dims = x.dims();
        let run = || {
            let pictures = x.clone().reshape(&[dims[0], dims[1] * dims[2], dims[3], dims[4]]);
            let pooled = pool(&planes, pictures)?;
            let [height, width] = [pooled.dims()[2], pooled.dims()[3]];
            let columns = pooled.reshape(&[dims[0], dims[1], dims[2], height * width]);
            let pooled = pool(&depth, columns)?;
            let depth = pooled.dims()[2];
            Ok(pooled.reshape(&[dims[0], dims[1], depth, height, width]))
        };
        Some(run())
    }

    /// The output of a pool over `x`.
    pub fn infer(&self, x: &Fact) -> Result<Vec<Fact>, OpError> {
        let axes = self.window.kernel.len();
        if x.rank() != axes + 2 {
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: format!("[batch, channels, {axes} spatial axes]"),
            });
        }
        let mut dims = x.dims[..2].to_vec();
        dims.extend(self.window.output("X", &x.dims[2..], self.ceil)?);
        Ok(vec![Fact::float(dims)])
    }

    /// The window on an input of extents `[batch, channels, spatial…]` that [`infer`](Self::infer)
    /// accepts.
    pub fn place(&self, dims: &[usize]) -> Result<Placement, OpError> {
        let spatial = &dims[2..];
        let pads = self.window.pads(spatial);
        let output = self.window.output("X", spatial, self.ceil)?;
        let both = |sizes: &[usize], missing: usize| match *sizes {
            [height, width] => [height, width],
            _ => [missing, sizes[0]],
        };
        let (before, after): (Vec<usize>, Vec<usize>) = pads.into_iter().unzip();
        Ok(Placement {
            kernel: both(&self.window.kernel, 1),
            strides: both(&self.window.strides, 1),
            dilations: both(&self.window.dilations, 1),
            before: both(&before, 0),
            after: both(&after, 0),
            input: both(spatial, 1),
            output: both(&output, 1),
        })
    }
}

impl Placement {
    /// The same for the CPU's kernels.
    pub fn shape(&self, [batch, channels]: [usize; 2]) -> PoolShape {
        PoolShape {
            batch,
            channels,
            input: self.input,
            output: self.output,
            kernel: self.kernel,
            stride: self.strides,
            dilation: self.dilations,
            before: self.before,
        }
    }

    /// The input as `[batch, channels, height, width]`, with its border written out as `fill`
    /// unless Burn's own padding (returned) gives the same windows.
    pub fn prepare(&self, x: Value, fill: f32) -> (Value, [usize; 2]) {
        let dims = x.dims();
        let x = x.reshape(&[dims[0], dims[1], self.input[0], self.input[1]]);
        let reach = |axis: usize| self.dilations[axis] * (self.kernel[axis] - 1) + 1;
        let fits = |axis: usize| {
            let padded = self.input[axis] + 2 * self.before[axis];
            padded >= reach(axis) && (padded - reach(axis)) / self.strides[axis] + 1 == self.output[axis]
        };
        if fits(0) && fits(1) {
            return (x, self.before);
        }
        let border = |axis: usize| {
            let end = (self.output[axis] - 1) * self.strides[axis] + reach(axis);
            let before = self.before[axis];
            (before, end.saturating_sub(self.input[axis] + before))
        };
        let padding = [(0, 0), (0, 0), border(0), border(1)];
        let padded = Dispatch::float_pad(x.into_dispatch(), &padding, PadMode::Constant(fill));
        (Value::new(padded), [0, 0])
    }
}
