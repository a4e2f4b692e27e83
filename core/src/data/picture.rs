//! Picture files: finding them in folders, decoding them.

use super::{DataError, Image};
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

/// The endings of pictures, in capitals or not.
pub(super) const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "ppm", "pgm"];

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
    let content = std::fs::read(path).map_err(io)?;
    let bytes = content.len() as u64;
    if bytes == 0 {
        return Err(DataError::EmptyFile {
            path: path.to_owned(),
        });
    }
    if is_cut_off_jpeg(&content) {
        return Err(DataError::CutOff {
            path: path.to_owned(),
            bytes,
        });
    }
    let reader = ImageReader::new(Cursor::new(&content))
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

/// Whether the content is that of a JPEG file that stops before its end, whose rest decoders fill
/// with grey. ITU T.81, annex B: segments with their length, of which a scan is followed by coded
/// data in which a marker byte is stuffed or restarts the decoder.
fn is_cut_off_jpeg(content: &[u8]) -> bool {
    const START: [u8; 2] = [0xff, 0xd8];
    const END: u8 = 0xd9;
    let Some(mut rest) = content.strip_prefix(&START) else {
        return false;
    };
    loop {
        // Any number of 0xff may stand before the code of a marker.
        let Some(at) = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && pair[1] != 0xff)
        else {
            return true;
        };
        let code = rest[at + 1];
        rest = &rest[at + 2..];
        match code {
            END => return false,
            // Stuffed bytes, restarts, and the marker without a segment.
            0x00 | 0x01 | 0xd0..=0xd7 => continue,
            _ => {}
        }
        let length = rest
            .first_chunk()
            .map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        if length < 2 || length > rest.len() {
            return true;
        }
        // Behind a scan's header the search for the next marker passes over its data.
        rest = &rest[length..];
    }
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
    // By the name alone: paths compare part by part and could order otherwise.
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
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
    fn a_jpeg_that_stops_before_its_end_is_refused_wherever_it_was_cut() {
        use image::{ImageFormat, Rgb, RgbImage};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.jpg");
        let noise = |x: u32, y: u32| Rgb([((x * 37) ^ (y * 11)) as u8, (x * y) as u8, (x + 7 * y) as u8]);
        RgbImage::from_fn(40, 30, noise)
            .save_with_format(&path, ImageFormat::Jpeg)
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(decode(&path).unwrap().shape, [3, 30, 40]);
        for share in [5, 10, 50, 90, 99] {
            std::fs::write(&path, &whole[..whole.len() * share / 100]).unwrap();
            let error = decode(&path).unwrap_err();
            assert!(matches!(error, DataError::CutOff { .. }), "{share} %: {error}");
        }
        std::fs::write(&path, [&whole[..], b"and more"].concat()).unwrap();
        decode(&path).unwrap();
        std::fs::write(&path, []).unwrap();
        assert!(matches!(decode(&path), Err(DataError::EmptyFile { .. })));
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
