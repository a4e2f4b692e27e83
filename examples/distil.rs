//! An ONNX teacher into an ONNX student, without the command line.
//! `cargo run --release --example distil`

use potstill_core::train::{Event, Interrupter, Observer};
use potstill_run::{Outcome, RunConfig};

/// Prints the end of each epoch.
struct Printed;

impl Observer for Printed {
    fn observe(&mut self, event: &Event) {
        if let Event::Epoch { epoch, metrics, .. } = event {
            println!("epoch {epoch}: top-1 {:.1} %", metrics["valid.top1"]);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = RunConfig {
        teacher: vec!["model/glyphs-resnet20.onnx".into()],
        student: vec!["resnet8".to_owned()],
        plugin: vec!["kd:temperature=4,alpha=0.9".parse()?],
        ..RunConfig::default()
    };
    (config.data.glyphs.train, config.data.glyphs.test) = (640, 200);
    config.training.epochs = 3;

    let run = config.plan()?.open(false)?;
    if let Outcome::Finished(finished) = run.train(&Interrupter::default(), &mut Printed)? {
        println!("{}", finished.student.display());
    }
    Ok(())
}
