//! Picture files: finding them in folders, decoding them.

use super::{DataError, Image};
use image::ImageReader;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// The picture in a file, as RGB.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Decode`].
pub(super) fn decode(path: &Path) -> Result<Image, DataError> {
    let io = |source| DataError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    // The content decides the format: ImageNet itself has a PNG that is called JPEG.
    let reader = ImageReader::open(path)
        .map_err(io)?
        .with_guessed_format()
        .map_err(io)?;
    let picture = reader
        .decode()
        .map_err(|source| DataError::Decode {
            path: path.to_owned(),
            source,
        })?
        .into_rgb8();
    let shape = [3, picture.height() as usize, picture.width() as usize];
    Ok(Image::from_interleaved(shape, picture.as_raw()))
}

/// What lies in `dir` and is wanted, in the order of the names.
///
/// # Errors
/// [`DataError::Io`].
pub(super) fn list(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| DataError::Io {
        action: "list",
        path: dir.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if wanted(&path) {
            paths.push(path);
        }
    }
    // By the text, in which classes are also looked up: paths compare part by part and could order otherwise.
    paths.sort_by_cached_key(|path| last_name(path));
    Ok(paths)
}

/// The last part of a path, as text.
pub(super) fn last_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether a file's name ends as a picture's.
pub(super) fn is_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}
