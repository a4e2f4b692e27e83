//! Picture files: finding them in folders, decoding them.

use super::{DataError, Image};
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Pixels that any file may state, and that each of its bytes may stand for beside them.
/// Photographs have a few pixels to the byte; PNG cannot have more than some thousand, so that what
/// a header alone claims is told from a picture.
const FREE_PIXELS: u64 = 1 << 21;
const PIXELS_PER_BYTE: u64 = 1024;

/// The picture in a file, as RGB.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Decode`], [`DataError::PictureSize`].
pub(super) fn decode(path: &Path) -> Result<Image, DataError> {
    let io = |source| DataError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    // The content decides the format: ImageNet itself has a PNG that is called JPEG.
    let broken = |source| DataError::Decode {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    let reader = ImageReader::open(path)
        .map_err(io)?
        .with_guessed_format()
        .map_err(io)?;
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let most = bytes.saturating_mul(PIXELS_PER_BYTE).saturating_add(FREE_PIXELS);
    if u64::from(width) * u64::from(height) > most {
        return Err(DataError::PictureSize {
            path: path.to_owned(),
            size: [height as usize, width as usize],
            most,
            bytes,
        });
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(broken)?.into_rgb8();
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
    // By the text, in which classes are also looked up: paths compare part by part and could order
    // otherwise.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey PNG file that states these sides and holds no pixels.
    fn header_alone(width: u32, height: u32) -> Vec<u8> {
        let chunk = |kind: &[u8; 4], content: &[u8]| {
            let named = [kind, content].concat();
            let (length, sum) = (content.len() as u32, crc32fast::hash(&named));
            [&length.to_be_bytes()[..], &named, &sum.to_be_bytes()].concat()
        };
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", &[&sides[..], &[8, 0, 0, 0, 0]].concat()),
            chunk(b"IDAT", &[]),
            chunk(b"IEND", &[]),
        ]
        .concat()
    }

    #[test]
    fn pixels_that_only_the_header_has_are_refused_before_there_is_room_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim.png");
        std::fs::write(&path, header_alone(20_000, 10_000)).unwrap();
        let error = decode(&path).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::PictureSize {
                    size: [10_000, 20_000],
                    bytes: 57,
                    ..
                }
            ),
            "{error:?}"
        );
        std::fs::write(&path, header_alone(20, 10)).unwrap();
        assert!(matches!(decode(&path), Err(DataError::Decode { .. })));
    }
}
