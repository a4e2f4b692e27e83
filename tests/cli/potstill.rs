//! Running the program, and the small inputs that the tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use potstill_core::zoo;
use potstill_exporters::Export;
use serde_json::Value;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_potstill");

/// A run of four steps on a little data, in a fraction of a second.
const TINY: &str = r#"student = "resnet8"
device = "cpu"
out = "run"

[data.glyphs]
train = 64
test = 40
difficulty = 0.1

[training]
epochs = 1
batch-size = 16
"#;

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

/// Runs the program in a folder; arguments are split at spaces.
pub fn potstill(folder: &Path, arguments: &str) -> Answer {
    let mut command = Command::new(PROGRAM);
    // Mesa's device-select layer writes to stderr where a machine has no desktop session.
    command.env("NODEVICE_SELECT", "1");
    command.current_dir(folder).args(arguments.split_whitespace());
    command.output().unwrap().into()
}

/// Runs the program, which has to succeed.
pub fn done(folder: &Path, arguments: &str) -> Answer {
    let answer = potstill(folder, arguments);
    assert_eq!(answer.code, 0, "potstill {arguments}: {answer:?}");
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

/// A file of the shared folder beside the workspace, or `None` with a word of why the test ends here.
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: no {}", file.display());
    None
}
