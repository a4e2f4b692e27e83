//! A method from a library of its own: built without building Potstill again, loaded, trained with,
//! and refused where it does not belong.
//!
//! `cargo test --release --features dynamic --test plugin_library`

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod potstill;

use std::path::{Path, PathBuf};
use std::process::Command;

use potstill::{Answer, assert_refused, command, succeeded};

/// Builds `examples/plugin-cdylib` against the shared library of this very build.
fn library() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugin-cdylib");
    succeeded(
        Command::new(env!("CARGO"))
            .args(["build", "--release", "--offline"])
            .current_dir(&folder),
    );
    let name = format!(
        "{}logit_matching{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    folder.join("target/release").join(name)
}

/// The program with a library, in a folder; arguments are split at spaces.
fn with(library: &Path, folder: &Path, arguments: &str) -> Command {
    let mut command = command(folder, "--plugin-lib");
    command.arg(library).args(arguments.split_whitespace());
    command
}

#[test]
fn a_method_from_a_library_is_listed_trains_and_is_refused_when_it_is_of_another_build() {
    let library = library();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let listed = succeeded(&mut with(&library, folder, "plugins --format json"));
    assert!(listed.stdout.contains("logit-matching"));

    succeeded(&mut with(
        &library,
        folder,
        "distill --device cpu --out run --plugin logit-matching:weight=0.2 --teacher embedded:glyphs-resnet20 \
         --max-steps 3 --limit 64",
    ));
    let metrics = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"mse\""), "{metrics}");

    let mut bytes = std::fs::read(&library).unwrap();
    let compiler = b"potstillrustc ";
    let stamp = bytes
        .windows(compiler.len())
        .position(|window| window == compiler)
        .unwrap();
    bytes[stamp + compiler.len()] ^= 1;
    let other = folder.join("other.so");
    std::fs::write(&other, bytes).unwrap();
    let refused = Answer::from(with(&other, folder, "plugins").output().unwrap());
    assert_refused(refused, "plugins", &["its compiler is rustc"]);
}
