//! Everything that Potstill reads from outside, as targets that take any bytes.
//!
//! A target may read its bytes or refuse them; it must not panic, go on without end, or ask for
//! memory that the number of bytes does not justify. The targets are called from two sides: by
//! libFuzzer (`fuzz_targets/`), which searches for hours, and by the ordinary test
//! `teachers/tests/fuzz`, which damages valid files in a fixed way, takes seconds and needs no
//! second build of Burn.
//!
//! | module | what is read |
//! | --- | --- |
//! | [`networks`] | ONNX files: decoded, inferred, summarised; and run where they are small |
//! | [`data`] | CIFAR and idx files, pictures, lists and names of pictures, whitenings |
//! | [`runs`] | what runs leave and take up again: teachers' outputs, checkpoints, recorded losses |
//! | [`settings`] | TOML and the texts of flags |

mod place;

pub mod data;
pub mod networks;
pub mod runs;
pub mod settings;

use std::error::Error;

/// What is done with any bytes.
pub struct Target {
    /// The name of its binary under `fuzz_targets/`.
    pub name: &'static str,
    /// Reads, and forgets what came out.
    pub read: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "onnx",
        read: networks::onnx,
    },
    Target {
        name: "network",
        read: networks::network,
    },
    Target {
        name: "cifar",
        read: data::cifar,
    },
    Target {
        name: "idx",
        read: data::idx,
    },
    Target {
        name: "picture",
        read: data::picture,
    },
    Target {
        name: "names",
        read: data::names,
    },
    Target {
        name: "whitening",
        read: data::whitening,
    },
    Target {
        name: "cache",
        read: runs::cache,
    },
    Target {
        name: "checkpoint",
        read: runs::checkpoint,
    },
    Target {
        name: "record",
        read: runs::record,
    },
    Target {
        name: "settings",
        read: settings::settings,
    },
];

/// What was read; a refusal is worded with its causes, as the program would, because wording must
/// not fail either.
fn worded<T, E: Error + 'static>(read: Result<T, E>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&error);
            while let Some(error) = cause {
                drop(error.to_string());
                cause = error.source();
            }
            None
        }
    }
}
