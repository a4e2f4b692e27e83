//! With the feature `dynamic`, tells the program where it finds the shared libraries that it was
//! linked with: beside itself, in the build's folder, and in the compiler's for the standard
//! library.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_DYNAMIC").is_none() || env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    let here = match env::var("CARGO_CFG_TARGET_VENDOR").as_deref() {
        Ok("apple") => "@loader_path",
        _ => "$ORIGIN",
    };
    let mut folders = vec![here.to_owned(), format!("{here}/deps")];
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if let Ok(answer) = Command::new(rustc).args(["--print", "target-libdir"]).output() {
        folders.push(String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    }
    for folder in folders {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
}
