//! What changes graphs, and what looks for something in them.
//!
//! | module | what it does |
//! | --- | --- |
//! | `branch` | parts a network behind named values; cuts a branch out again |
//! | `join` | puts one network beside another |
//! | `prune` | removes filters, with all that depends on them |
//! | `classifier` | gives a network a classifier for other classes; finds the features before it |
//! | `rewrite` | puts operators behind values and before weights |
//! | `redraw`, `untie`, `reshape_stored`, `single_precision` | make a student of a network from a file: new weights, weights of its own, weights as they are used, in `float32` |
//! | `trainable` | whether weights move what a network gives |
//! | `quantisable` | which values are rounded to integers |

mod branch;
mod classifier;
mod join;
mod prune;
mod quantisable;
mod redraw;
mod reshape_stored;
mod rewrite;
mod single_precision;
mod trainable;
mod untie;

pub use branch::{Branched, Fork, Names, branch, branch_points, cut};
pub use join::join;
pub use prune::{Criterion, Pruned, prune};
