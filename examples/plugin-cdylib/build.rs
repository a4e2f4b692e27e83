//! Cargo does not see the shared library that `.cargo/config.toml` names: a new one has to be
//! compiled against anew.

fn main() {
    println!("cargo::rerun-if-changed=../../target/release/deps/libpotstill_dylib.so");
}
