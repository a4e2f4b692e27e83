//! Writes a Burn module as ONNX, so that Potstill can train it:
//!
//! ```sh
//! cargo run --release -- net.onnx 20
//! potstill distill --data glyphs --teacher embedded:glyphs-resnet20 --plugin kd --student net.onnx
//! ```

mod net;

use std::env;
use std::error::Error;

use burn::tensor::{Device, Tensor};
use burn_onnx::export::{AxisSpec, InputSpec, OnnxExporter};

use net::Net;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "net.onnx".to_owned());
    let classes = arguments.next().map_or(Ok(20), |classes| classes.parse())?;
    // Not a device of autodiff: BatchNorm then runs on its running statistics, and is written as
    // one node that Potstill trains again.
    let device = Device::flex();
    let net = Net::new(classes, &device);
    // Two traces with different batches tell the exporter which numbers are the batch.
    let pictures = |batch: usize| Tensor::<4>::zeros([batch, 3, 32, 32], &device);
    let axes = [
        AxisSpec::dynamic("batch"),
        AxisSpec::Static,
        AxisSpec::Static,
        AxisSpec::Static,
    ];
    OnnxExporter::new()
        .export_dynamic(
            &net,
            pictures(2),
            pictures(3),
            &[InputSpec::new(axes)],
            Net::forward,
        )?
        .save(&path)?;
    println!("wrote {path}: pictures [batch, 3, 32, 32] to {classes} logits");
    Ok(())
}
