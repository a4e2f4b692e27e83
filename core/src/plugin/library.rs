//! Methods in libraries of their own, loaded at run time.
//!
//! Tensors, gradients and the registry of methods cross the border between program and library, so
//! both must use one copy of the core: the shared library `dylib/` that a build with the feature
//! `dynamic` links. Rust promises no layout from one build to another. A library therefore carries
//! a [`Stamp`], which is read from the file and compared before the system loads it and any of its
//! code runs.

use std::any::TypeId;
use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "dynamic")]
use super::error::PluginError;
use super::registry::PluginEntry;

/// The symbol under which [`plugin_library!`](crate::plugin_library) puts a library's stamp.
pub const STAMP_SYMBOL: &str = "POTSTILL_PLUGIN_STAMP";
/// What a stamp begins with.
const MAGIC: [u8; 8] = *b"potstill";
/// Bytes for each text of a stamp, zeros after its end.
const TEXT: usize = 96;

/// What a library was built with.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Stamp {
    magic: [u8; 8],
    rustc: [u8; TEXT],
    core: [u8; TEXT],
    /// Of the core's sources, lock file, features and target.
    build: [u8; TEXT],
    /// Which compiled core, and through the tensor which Burn: the compiler makes it of the crates'
    /// names, versions and features.
    identity: TypeId,
}

const fn text(text: &str) -> [u8; TEXT] {
    let bytes = text.as_bytes();
    let mut padded = [0; TEXT];
    let mut at = 0;
    while at < bytes.len() && at < TEXT {
        padded[at] = bytes[at];
        at += 1;
    }
    padded
}

/// The stamp of this copy of the core.
pub const STAMP: Stamp = Stamp {
    magic: MAGIC,
    rustc: text(env!("POTSTILL_RUSTC")),
    core: text(env!("CARGO_PKG_VERSION")),
    build: text(env!("POTSTILL_BUILD")),
    identity: TypeId::of::<(PluginEntry, burn::tensor::Tensor<1>)>(),
};

fn shown(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).into_owned()
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, core {}, build {}",
            shown(&self.rustc),
            shown(&self.core),
            shown(&self.build)
        )
    }
}

/// Makes the crate that says so a library of methods: puts the [`STAMP`] of the core that it was
/// built with where the program looks for it.
#[macro_export]
macro_rules! plugin_library {
    () => {
        /// What this library was built with, which the program compares before it loads it.
        #[unsafe(no_mangle)]
        pub static POTSTILL_PLUGIN_STAMP: $crate::plugin::Stamp = $crate::plugin::STAMP;
    };
}

/// Why a library of methods was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file that cannot be read.
    #[error("cannot read the library {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no shared library.
    #[error("{path} is no shared library: {reason}")]
    NoLibrary {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A library without a stamp.
    #[error(
        "{path} is no library of methods: it has no symbol `{STAMP_SYMBOL}`, which `potstill_core::plugin_library!()` writes; nothing of it was run"
    )]
    NoStamp {
        /// The file.
        path: PathBuf,
    },
    /// A library for another build.
    #[error(
        "{path} was built for another Potstill: its {what} is {got}, this program's is {expected}; nothing of it was run"
    )]
    OtherBuild {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The library's.
        got: String,
        /// The program's.
        expected: String,
    },
    /// A library that the system refuses.
    #[error("the system cannot load {path}: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        reason: String,
    },
    /// A library that registers no method.
    #[error("{path} registers no method")]
    Nothing {
        /// The file.
        path: PathBuf,
    },
    /// A build that cannot load libraries.
    #[error(
        "cannot load {path}: this program was built without the feature `dynamic` (`cargo build --release --features dynamic`)"
    )]
    NotBuilt {
        /// The file.
        path: PathBuf,
    },
}

/// Loads the methods of a library, and gives back their names. It stays loaded until the process
/// ends.
///
/// # Errors
/// A file that is no library of methods for this very build of the core; nothing of it has run
/// then.
#[cfg(not(feature = "dynamic"))]
pub fn load_library(path: &Path) -> Result<Vec<&'static str>, LibraryError> {
    Err(LibraryError::NotBuilt {
        path: path.to_owned(),
    })
}

/// Loads the methods of a library, and gives back their names. It stays loaded until the process
/// ends.
///
/// # Errors
/// A file that is no library of methods for this very build of the core; nothing of it has run
/// then.
#[cfg(feature = "dynamic")]
pub fn load_library(path: &Path) -> Result<Vec<&'static str>, LibraryError> {
    check_stamp(path)?;
    let names = || -> Result<Vec<&'static str>, PluginError> { Ok(super::entries()?.into_keys().collect()) };
    let refused = |reason: String| LibraryError::Refused {
        path: path.to_owned(),
        reason,
    };
    let before = names().map_err(|error| refused(error.to_string()))?;
    // A name without a folder would be looked for in the system's.
    let full = path.canonicalize().map_err(|source| LibraryError::Read {
        path: path.to_owned(),
        source,
    })?;
    // SAFETY: loading runs the library's initialisers. The user named the file, and its stamp says
    // that it was compiled by this compiler against this copy of the core, whose registrations are
    // all that its initialisers are expected to do.
    #[expect(unsafe_code, reason = "loading code is what this function is for")]
    let library = unsafe { libloading::Library::new(&full) }.map_err(|error| refused(error.to_string()))?;
    // Registrations are references into the library.
    std::mem::forget(library);
    let mut after = names().map_err(|error| refused(error.to_string()))?;
    after.retain(|name| !before.contains(name));
    if after.is_empty() {
        return Err(LibraryError::Nothing {
            path: path.to_owned(),
        });
    }
    Ok(after)
}

/// Compares the stamp in a file with this core's, without loading it.
#[cfg(any(test, feature = "dynamic"))]
fn check_stamp(path: &Path) -> Result<(), LibraryError> {
    let bytes = std::fs::read(path).map_err(|source| LibraryError::Read {
        path: path.to_owned(),
        source,
    })?;
    let found = stamp_bytes(&bytes).map_err(|reason| LibraryError::NoLibrary {
        path: path.to_owned(),
        reason,
    })?;
    let found = found.filter(|found| found.starts_with(&MAGIC));
    let found = found.ok_or_else(|| LibraryError::NoStamp {
        path: path.to_owned(),
    })?;
    let differs = |what, got: String, expected: String| LibraryError::OtherBuild {
        path: path.to_owned(),
        what,
        got,
        expected,
    };
    let texts = [
        ("compiler", STAMP.rustc),
        ("core's version", STAMP.core),
        ("core's build", STAMP.build),
    ];
    for (place, (what, expected)) in texts.into_iter().enumerate() {
        let start = MAGIC.len() + place * TEXT;
        let got = &found[start..start + TEXT];
        if *got != expected {
            return Err(differs(what, shown(got), shown(&expected)));
        }
    }
    let identity = &found[MAGIC.len() + texts.len() * TEXT..];
    let expected = identity_bytes();
    if *identity != expected {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        return Err(differs(
            "compiled copy of the core",
            hex(identity),
            hex(&expected),
        ));
    }
    Ok(())
}

/// The bytes of this core's identity, as they stand in a file.
#[cfg(any(test, feature = "dynamic"))]
fn identity_bytes() -> [u8; size_of::<TypeId>()] {
    // SAFETY: a TypeId is plain bytes of this size without padding.
    #[expect(unsafe_code, reason = "the standard library shows no bytes of a TypeId")]
    unsafe {
        std::mem::transmute(STAMP.identity)
    }
}

/// The bytes of the stamp in a shared library's file; none if it has no such symbol, or only a part
/// of one.
#[cfg(any(test, feature = "dynamic"))]
fn stamp_bytes(bytes: &[u8]) -> Result<Option<&[u8]>, String> {
    use object::{Object, ObjectSection, ObjectSymbol};
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    // Mach-O puts an underscore before the names of C.
    let named = |name: &[u8]| name.strip_prefix(b"_").unwrap_or(name) == STAMP_SYMBOL.as_bytes();
    let address = file
        .dynamic_symbols()
        .chain(file.symbols())
        .find(|symbol| symbol.name_bytes().is_ok_and(named))
        .map(|symbol| symbol.address());
    let exported = || {
        let exports = file.exports().ok()?;
        exports
            .iter()
            .find(|export| named(export.name()))
            .map(|export| export.address())
    };
    let Some(address) = address.or_else(exported) else {
        return Ok(None);
    };
    let size = size_of::<Stamp>() as u64;
    Ok(file
        .sections()
        .find_map(|section| section.data_range(address, size).ok().flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // This test program itself carries a stamp, as a library of methods does.
    crate::plugin_library!();

    fn at(stamp: &[u8], bytes: &[u8]) -> usize {
        let start = stamp.as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(start < bytes.len());
        start
    }

    /// A copy of this program in which one byte of the stamp is another.
    fn altered(place: usize) -> tempfile::NamedTempFile {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let start = at(stamp_bytes(&bytes).unwrap().unwrap(), &bytes);
        bytes[start + place] ^= 1;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn the_stamp_of_this_very_build_is_accepted() {
        // An executable keeps only what it reads; a library keeps what it exports.
        assert_eq!(*std::hint::black_box(&POTSTILL_PLUGIN_STAMP), STAMP);
        check_stamp(&std::env::current_exe().unwrap()).unwrap();
    }

    #[test]
    fn every_part_of_a_stamp_counts() {
        let identity = MAGIC.len() + 3 * TEXT;
        for (place, piece) in [
            (0, "is no library of methods"),
            (MAGIC.len(), "its compiler is"),
            (MAGIC.len() + TEXT, "its core's version is"),
            (MAGIC.len() + 2 * TEXT, "its core's build is"),
            (identity, "its compiled copy of the core is"),
            (
                identity + size_of::<TypeId>() - 1,
                "its compiled copy of the core is",
            ),
        ] {
            let message = check_stamp(altered(place).path()).unwrap_err().to_string();
            assert!(message.contains(piece), "byte {place}: {message}");
        }
        assert_eq!(size_of::<Stamp>(), identity + size_of::<TypeId>());
    }

    #[test]
    fn what_is_no_library_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("method.so");
        assert!(matches!(check_stamp(&file), Err(LibraryError::Read { .. })));
        std::fs::write(&file, b"text").unwrap();
        assert!(matches!(check_stamp(&file), Err(LibraryError::NoLibrary { .. })));
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes.truncate(1000);
        std::fs::write(&file, bytes).unwrap();
        assert!(check_stamp(&file).is_err());
    }

    #[cfg(not(feature = "dynamic"))]
    #[test]
    fn a_build_that_cannot_load_says_how_to_make_one_that_can() {
        let message = load_library(Path::new("method.so")).unwrap_err().to_string();
        assert!(message.contains("--features dynamic"), "{message}");
    }
}
