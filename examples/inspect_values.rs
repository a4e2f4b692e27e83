//! The values of an ONNX file that a method can tap, with their shapes for one picture.
//! Whatever this prints is a name for `Plan::tap_teachers`, or for `potstill run --tap`.
//! `cargo run --release --example inspect_values -- model/glyphs-resnet20.onnx`

use std::error::Error;
use std::path::PathBuf;

use potstill_core::graph::infer;
use potstill_teachers::decode_file;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("expected an ONNX file")?;
    let graph = decode_file(&file)?;
    let facts = infer(&graph, 1)?;
    for name in graph.value_names() {
        if let Some(fact) = facts.get(name) {
            println!("{name} {:?} {}", fact.dims, fact.kind);
        }
    }
    Ok(())
}
