//! Where the bytes lie as files: readers are called as the program calls them, with paths.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that goes when it is dropped, in memory where the system has a place for that.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    TempDir::new_in(root).expect("a temporary folder can be made")
}

/// Writes a file below a folder, with the folders that it needs.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let parent = path.parent().expect("a file below a folder has one");
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&path, bytes))
        .expect("a temporary file can be written");
    path
}
