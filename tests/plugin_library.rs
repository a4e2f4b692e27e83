//! A method from a library of its own: built without building Potstill again, loaded, trained with, and refused where it does not belong.
//!
//! `cargo test --release --features dynamic --test plugin_library`

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Builds `examples/plugin-cdylib` against the shared library of this very build.
fn library() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugin-cdylib");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--offline"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let name = format!(
        "{}logit_matching{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    folder.join("target/release").join(name)
}

fn potstill(library: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_potstill"))
        .arg("--plugin-lib")
        .arg(library)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_method_from_a_library_is_listed_trains_and_is_refused_when_it_is_of_another_build() {
    let library = library();
    let listed = potstill(&library, &["plugins", "--format", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("logit-matching"));

    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let method = ["--plugin", "logit-matching:weight=0.2"];
    let teacher = [
        "--teacher",
        "embedded:glyphs-resnet20",
        "--max-steps",
        "3",
        "--limit",
        "64",
    ];
    let out = ["distill", "--device", "cpu", "--out", run.to_str().unwrap()];
    let trained = potstill(&library, &[&out[..], &method, &teacher].concat());
    assert!(
        trained.status.success(),
        "{}",
        String::from_utf8_lossy(&trained.stderr)
    );
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"mse\""), "{metrics}");

    let mut bytes = std::fs::read(&library).unwrap();
    let compiler = b"potstillrustc ";
    let stamp = bytes
        .windows(compiler.len())
        .position(|window| window == compiler)
        .unwrap();
    bytes[stamp + compiler.len()] ^= 1;
    let other = folder.path().join("other.so");
    std::fs::write(&other, bytes).unwrap();
    let refused = potstill(&other, &["plugins"]);
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("its compiler is rustc"), "{message}");
}
