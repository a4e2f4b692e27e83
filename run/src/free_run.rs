//! Names of folders that no run has yet.

use std::path::{Path, PathBuf};

/// `runs/NAME`, with a number where that is taken.
pub fn free_run(name: &str) -> PathBuf {
    let numbered = |number: u32| match number {
        1 => Path::new("runs").join(name),
        number => Path::new("runs").join(format!("{name}-{number}")),
    };
    (1..)
        .map(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| numbered(1))
}
