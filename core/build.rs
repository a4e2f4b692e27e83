//! Writes `POTSTILL_BUILD`: what a method in a library of its own and the program that loads it
//! must have in common.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut hasher = DefaultHasher::new();
    for folder in ["src", "../kernels/src"] {
        println!("cargo::rerun-if-changed={folder}");
        hash_folder(&manifest.join(folder), &mut hasher)?;
    }
    // A published crate comes without the workspace's lock file.
    let lock = manifest.join("../Cargo.lock");
    if lock.exists() {
        println!("cargo::rerun-if-changed=../Cargo.lock");
        fs::read(lock)?.hash(&mut hasher);
    }
    for key in ["TARGET", "OPT_LEVEL", "CARGO_CFG_FEATURE"] {
        env::var(key).unwrap_or_default().hash(&mut hasher);
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output()?.stdout;
    let version = String::from_utf8_lossy(&version);
    println!("cargo::rustc-env=POTSTILL_RUSTC={}", version.trim());
    println!("cargo::rustc-env=POTSTILL_BUILD={:016x}", hasher.finish());
    Ok(())
}

/// Feeds every file of a folder, in the order of their names.
fn hash_folder(folder: &Path, hasher: &mut impl Hasher) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        path.file_name().hash(hasher);
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}
