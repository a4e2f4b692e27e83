//! Running the program, and the small inputs that the tests share.

#![allow(
    dead_code,
    reason = "each test binary that runs the program uses a part of this"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use potstill_core::data::dataset;
use potstill_core::npz::NpzReader;
use potstill_core::zoo;
use potstill_evidence::record;
use potstill_exporters::Export;
use serde_json::Value;

/// A run of four steps on a little data, in a fraction of a second.
const TINY: &str = r#"student = "resnet8"
device = "cpu"
out = "run"

[data.glyphs]
train = 64
test = 40

[training]
epochs = 1
batch-size = 16
"#;

/// Hides the drivers of Vulkan and OpenGL: the program has to do all of its work on a machine
/// without any, and where Mesa is installed, its drivers write errors of their own to stderr.
const NO_DRIVERS: [(&str, &str); 4] = [
    ("VK_DRIVER_FILES", "none"),
    ("VK_ICD_FILENAMES", "none"),
    ("__EGL_VENDOR_LIBRARY_FILENAMES", "none"),
    ("LIBGL_DRIVERS_PATH", "none"),
];

/// The program in a folder; arguments are split at spaces.
pub fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_potstill"));
    command
        .current_dir(folder)
        .envs(NO_DRIVERS)
        .args(arguments.split_whitespace());
    command
}

/// What the program answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Answer {
    /// stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// stdout as lines of JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

/// Lines of JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// Runs the program in a folder.
pub fn potstill(folder: &Path, arguments: &str) -> Answer {
    command(folder, arguments).output().unwrap().into()
}

/// Runs the program, which has to succeed.
pub fn done(folder: &Path, arguments: &str) -> Answer {
    succeeded(&mut command(folder, arguments))
}

/// Runs a command, which has to succeed.
pub fn succeeded(command: &mut Command) -> Answer {
    let answer = Answer::from(command.output().unwrap());
    assert_eq!(answer.code, 0, "{command:?}: {answer:?}");
    answer
}

/// Runs the program, which has to refuse: exit code 2, one error that names all of `pieces`.
pub fn refused(folder: &Path, arguments: &str, pieces: &[&str]) {
    assert_refused(potstill(folder, arguments), arguments, pieces);
}

/// Checks a refusal.
pub fn assert_refused(answer: Answer, arguments: &str, pieces: &[&str]) {
    assert_eq!(answer.code, 2, "potstill {arguments}: {answer:?}");
    let errors = answer.stderr.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "potstill {arguments}: {answer:?}");
    for piece in pieces {
        assert!(
            answer.stderr.contains(piece),
            "potstill {arguments}: no `{piece}` in\n{}",
            answer.stderr
        );
    }
}

/// Writes the configuration of a tiny run as `tiny.toml`.
pub fn tiny(folder: &Path) {
    fs::write(folder.join("tiny.toml"), TINY).unwrap();
}

/// A fresh folder with `tiny.toml`.
pub fn fresh() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny(folder.path());
    folder
}

/// A fresh folder in which the tiny run is done: `run/`.
pub fn trained() -> tempfile::TempDir {
    let folder = fresh();
    done(folder.path(), "distill tiny.toml");
    folder
}

/// Writes a network of the zoo, untrained, as `NAME`.
pub fn network(folder: &Path, name: &str, classes: usize, picture: [usize; 3]) {
    let graph = zoo::build("resnet8", classes, picture, 1).unwrap();
    Export::default().write(&graph, &folder.join(name)).unwrap();
}

/// Writes what the program takes for CIFAR-100, of the 64 test pictures that are part of the
/// project: four times over as `train.bin`, once as `test.bin`. A record is the coarse label, which
/// nobody reads, the fine one, and three planes of bytes.
pub fn pictures_of_cifar100(folder: &Path) {
    let mut arrays = NpzReader::open(&record("pytorch/resnet20x2-cifar100.npz")).unwrap();
    let input: Vec<f32> = arrays.array("input").unwrap().unwrap().into_vec().unwrap();
    let labels: Vec<i64> = arrays.array("labels").unwrap().unwrap().into_vec().unwrap();
    let plane = 32 * 32;
    let info = dataset("cifar100").unwrap();
    let mut records = Vec::new();
    for (label, picture) in labels.iter().zip(input.chunks_exact(3 * plane)) {
        records.extend([0, u8::try_from(*label).unwrap()]);
        for (channel, values) in picture.chunks_exact(plane).enumerate() {
            let (mean, std) = (info.mean[channel], info.std[channel]);
            records.extend(
                values
                    .iter()
                    .map(|value| ((value * std + mean) * 255.0).round() as u8),
            );
        }
    }
    fs::write(folder.join("train.bin"), records.repeat(4)).unwrap();
    fs::write(folder.join("test.bin"), records).unwrap();
}
