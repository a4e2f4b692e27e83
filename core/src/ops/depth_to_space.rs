//! `DepthToSpace` and `SpaceToDepth`: blocks of pixels against channels.
//! <https://onnx.ai/onnx/operators/onnx__DepthToSpace.html>,
//! <https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html>
//!
//! `mode` says whether the place in the block (`DCR`) or the channel (`CRD`, PyTorch's
//! `pixel_shuffle`) varies slowest along the channels. Opset 11 added `mode`, 13 bfloat16.
//! `SpaceToDepth` is the inverse, of `DCR`
//! alone before opset 28.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// Which way the elements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `DepthToSpace`, the place in the block first.
    DepthColumnRow,
    /// `DepthToSpace`, the channel first.
    ColumnRowDepth,
    /// `SpaceToDepth`, the place in the block first.
    SpaceToDepth,
    /// `SpaceToDepth`, the channel first.
    SpaceToChannels,
}

/// A rearrangement of `[batch, channels, height, width]`.
#[derive(Clone, Debug)]
pub struct DepthToSpace {
    /// Which way.
    pub direction: Direction,
    /// Height and width of a block.
    pub block: usize,
}

/// The six axes between, their order, and the result's extents.
type Steps = ([usize; 6], [usize; 6], [usize; 4]);

impl DepthToSpace {
    fn steps(&self, dims: &[usize]) -> Result<Steps, OpError> {
        let b = self.block;
        let refuse = |expected: String| OpError::Shape {
            name: "input",
            got: dims.to_vec(),
            expected,
        };
        let &[n, c, h, w] = dims else {
            return Err(refuse("[batch, channels, height, width]".to_owned()));
        };
        if let Direction::SpaceToDepth | Direction::SpaceToChannels = self.direction {
            if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
                return Err(refuse(format!("height and width divisible by {b}")));
            }
            let between = [n, c, h / b, b, w / b, b];
            let order = match self.direction {
                Direction::SpaceToDepth => [0, 3, 5, 1, 2, 4],
                _ => [0, 1, 3, 5, 2, 4],
            };
            return Ok((between, order, [n, c * b * b, h / b, w / b]));
        }
        if !c.is_multiple_of(b * b) {
            return Err(refuse(format!("channels divisible by {}", b * b)));
        }
        let depth = c / (b * b);
        let made = [n, depth, h * b, w * b];
        Ok(match self.direction {
            Direction::DepthColumnRow => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2], made),
            _ => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3], made),
        })
    }
}

impl Op for DepthToSpace {
    fn name(&self) -> &'static str {
        match self.direction {
            Direction::SpaceToDepth | Direction::SpaceToChannels => "SpaceToDepth",
            _ => "DepthToSpace",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        let (_, _, made) = self.steps(&x.dims)?;
        Ok(vec![Fact::new(x.kind, made)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let (between, order, made) = self.steps(&x.dims())?;
        Ok(vec![x.reshape(&between).permute(&order).reshape(&made)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let block = node.required_int("blocksize")?;
    // The square must not overflow.
    let block = usize::try_from(block)
        .ok()
        .filter(|block| (1..=usize::from(u16::MAX)).contains(block))
        .ok_or_else(|| node.bad("blocksize", block.to_string(), "a number from 1 to 65535"))?;
    let to_depth = node.op == "SpaceToDepth";
    let direction = match node.text("mode")? {
        None | Some("DCR") if to_depth => Direction::SpaceToDepth,
        Some("CRD") if to_depth => Direction::SpaceToChannels,
        None | Some("DCR") => Direction::DepthColumnRow,
        Some("CRD") => Direction::ColumnRowDepth,
        Some(other) => return Err(node.bad("mode", other, "DCR or CRD")),
    };
    Ok(Box::new(DepthToSpace { direction, block }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "DepthToSpace",
        forms: &[],
        read,
    },
    Operator {
        name: "SpaceToDepth",
        forms: &[],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, ramp, run_op, waves};

    #[test]
    fn blocks_are_laid_out_as_onnx_runtime_does() {
        // onnxruntime 1.32: X = arange(16).reshape(1, 8, 1, 2), blocksize = 2
        let x = ramp(&[1, 8, 1, 2], 0.0, 1.0);
        let run = |mode: &str| {
            let attributes = [("blocksize", 2.into()), ("mode", mode.into())];
            run_op("DepthToSpace", 13, &attributes, &[Some(x.clone())])
                .unwrap()
                .remove(0)
        };
        assert_floats(
            &run("DCR"),
            &[1, 2, 2, 4],
            &[
                0.0, 4.0, 1.0, 5.0, 8.0, 12.0, 9.0, 13.0, 2.0, 6.0, 3.0, 7.0, 10.0, 14.0, 11.0, 15.0,
            ],
        );
        assert_floats(
            &run("CRD"),
            &[1, 2, 2, 4],
            &[
                0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0, 8.0, 10.0, 9.0, 11.0, 12.0, 14.0, 13.0, 15.0,
            ],
        );
        let back = run_op(
            "SpaceToDepth",
            13,
            &[("blocksize", 2.into())],
            &[Some(run("DCR"))],
        )
        .unwrap();
        assert_eq!(back[0].to_floats(), x.to_floats());
    }

    #[test]
    fn gradients_travel_with_the_elements() {
        let x = [Some(waves(&[1, 4, 2, 2], 0.0, 0.7))];
        assert_gradients("DepthToSpace", 13, &[("blocksize", 2.into())], &x, &[0]);
        assert_gradients("SpaceToDepth", 13, &[("blocksize", 2.into())], &x, &[0]);
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        let infer = |op, block: i64, dims: &[usize]| {
            infer_op(op, 13, &[("blocksize", block.into())], &[Some(Fact::float(dims))]).unwrap_err()
        };
        let depth = infer("DepthToSpace", 2, &[1, 6, 2, 2]);
        assert!(matches!(depth, OpError::Shape { .. }), "{depth}");
        let space = infer("SpaceToDepth", 2, &[1, 6, 3, 2]);
        assert!(matches!(space, OpError::Shape { .. }), "{space}");
        let rank = infer("SpaceToDepth", 2, &[1, 6, 2]);
        assert!(matches!(rank, OpError::Shape { .. }), "{rank}");
        let block = infer("SpaceToDepth", 0, &[1, 6, 2, 2]);
        assert!(matches!(block, OpError::BadAttribute { .. }), "{block}");
    }
}
