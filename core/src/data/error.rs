//! What can be wrong with a data set, a transform or a loader: the file or option, what was
//! expected, what was found.

use std::path::{Path, PathBuf};

use super::picture::EXTENSIONS;

/// An error in data that came from outside: files, options, the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A data set's name is not in the catalog.
    #[error("no data set `{name}`{}; known are {}", near(*.nearest), known.join(", "))]
    UnknownDataset {
        /// The name that was given.
        name: String,
        /// The names in the catalog.
        known: Vec<&'static str>,
        /// The known name that is nearest to it.
        nearest: Option<&'static str>,
    },
    /// A data set that lives in files was asked for without a folder.
    #[error("data set `{name}` is read from files: name its folder (`dir`, or `--data-dir DIR`)")]
    NoFolder {
        /// The data set.
        name: String,
    },
    /// The folder holds none of the layouts that the reader knows.
    #[error("`{}` holds no {what}: expected {}", dir.display(), expected.join(", or "))]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// The folder.
        dir: PathBuf,
        /// The layouts that would do.
        expected: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file ends inside a record, or before the size that its header states.
    #[error("`{}` is truncated: record {record} should have {expected} bytes, got {got}", path.display())]
    Truncated {
        /// The file or folder.
        path: PathBuf,
        /// The record, from 0.
        record: usize,
        /// The bytes that it should have.
        expected: usize,
        /// The bytes that it has.
        got: usize,
    },
    /// A file holds more than its header states.
    #[error("`{}` goes on after the {expected} bytes that its header states", path.display())]
    TooLong {
        /// The file or folder.
        path: PathBuf,
        /// The bytes that the header states.
        expected: usize,
    },
    /// A label is not a class number.
    #[error("`{}`: record {record} has label {label}, expected less than {classes}", path.display())]
    Label {
        /// The file or folder.
        path: PathBuf,
        /// The record, from 0.
        record: usize,
        /// The label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A header field has another value than the format asks for.
    #[error("`{}`: {field} is {got}, expected {expected}", path.display())]
    Header {
        /// The file or folder.
        path: PathBuf,
        /// The field of the header.
        field: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A picture could not be decoded.
    #[error("cannot decode `{}`", path.display())]
    Decode {
        /// The file or folder.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// A picture file without a byte.
    #[error("cannot decode `{}`: the file is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A JPEG file that stops before its end.
    #[error("cannot decode `{}`: the JPEG is cut off after {bytes} bytes", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A picture that the transforms refuse.
    #[error("cannot prepare `{}`", path.display())]
    Prepare {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<DataError>,
    },
    /// A picture whose header states more pixels than the file's length can stand for.
    #[error("`{}` states {}x{} pixels, expected at most {most} in a file of {bytes} bytes", path.display(), size[0], size[1])]
    PictureSize {
        /// The file or folder.
        path: PathBuf,
        /// Height and width, as the header states them.
        size: [usize; 2],
        /// The most pixels that a file of this length may state.
        most: u64,
        /// The length of the file.
        bytes: u64,
    },
    /// A split, folder or file has no images.
    #[error("`{}` holds no images", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder without pictures.
    #[error("`{}` holds no pictures: expected files ending in {}", path.display(), endings())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder without pictures.
    #[error("class folder `{}` holds no pictures: expected files ending in {}", path.display(), endings())]
    EmptyClass {
        /// The folder.
        path: PathBuf,
    },
    /// Data of a single class, which no classifier can learn from.
    #[error("`{}` holds one class folder, `{class}`, expected two or more: is the path a folder too long or too short?", path.display())]
    OneClass {
        /// The folder of the classes.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// The test folder has a class that the training folder lacks.
    #[error("class folder `{}` has no counterpart among the {known} training classes", path.display())]
    UnknownClass {
        /// The file or folder.
        path: PathBuf,
        /// The number of training classes.
        known: usize,
    },
    /// Pictures lie where class folders are expected.
    #[error("`{}` holds {pictures} pictures and no class folders: {}", root.display(), flat_advice(labels.as_deref()))]
    Flat {
        /// The folder.
        root: PathBuf,
        /// How many pictures there are.
        pictures: usize,
        /// A list of labels that lies there, if any.
        labels: Option<PathBuf>,
    },
    /// A list of classes lacks a picture, or names a class that is none.
    #[error("`{}` {problem}", path.display())]
    FlatLabel {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A picture of Market-1501 whose name says neither person nor camera.
    #[error(
        "`{}` is no name of a Market-1501 picture: expected one as `0002_c1s1_000451_03.jpg`, with identity (-1 and 0000 in the gallery), camera, sequence, frame and box",
        path.display()
    )]
    MarketName {
        /// The file or folder.
        path: PathBuf,
    },
    /// Training pictures of which none can be held out.
    #[error("`{}` has no identity of {expected} pictures or more, so that none can be held out for validation", path.display())]
    NoHeldOut {
        /// The file or folder.
        path: PathBuf,
        /// The pictures that an identity must have.
        expected: usize,
    },
    /// Steps of `normalise` in an order that has no meaning.
    #[error("`normalise` is {got:?}, expected `gcn`, `zca`, or `gcn` and then `zca`")]
    NormaliseOrder {
        /// The steps, as they were written.
        got: Vec<String>,
    },
    /// A normalisation among the transforms.
    #[error(
        "`{text}` takes the place of mean and standard deviation in both splits: write it in `normalise`, not among the transforms"
    )]
    Misplaced {
        /// The normalisation, as it was written.
        text: String,
    },
    /// Two normalisations at once.
    #[error(
        "`{option}` and `normalise` are given together, expected one of them: `normalise` takes the place of mean and standard deviation"
    )]
    NormalisedTwice {
        /// `mean` or `std`.
        option: &'static str,
    },
    /// Pictures whose whitening matrix would not fit the memory.
    #[error(
        "zca of pictures {shape:?} [channels, height, width], expected at most {most} numbers, as 3x64x64 has: the matrix has their square"
    )]
    TooLargeToWhiten {
        /// Channels, height and width.
        shape: [usize; 3],
        /// The most numbers that a picture may have.
        most: usize,
    },
    /// Training pictures from which no whitening can be computed.
    #[error(
        "zca cannot be fitted on {pictures} pictures with eps={eps}: expected finite numbers, and an eps that 64 bits can tell from 0 beside the largest variance"
    )]
    NoWhitening {
        /// How many pictures it was to be fitted on.
        pictures: usize,
        /// What was added to the variances.
        eps: f64,
    },
    /// A pipeline with `zca` of which nothing was fitted.
    #[error("`zca` was not fitted on the training pictures")]
    NotFitted,
    /// A whitening for other pictures, or after other steps.
    #[error("the whitening was fitted for {got}, expected {expected}")]
    WhiteningMisfit {
        /// What it was fitted for.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// A file of a whitening that is damaged.
    #[error("`{}` is no whitening that could be read: {problem}", path.display())]
    WhiteningFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file of a whitening, but of another one.
    #[error("`{}` has SHA-256 {got}, expected {expected}: it is not the whitening that the network was trained with", path.display())]
    WhiteningHash {
        /// The file or folder.
        path: PathBuf,
        /// The SHA-256 that the network names.
        expected: String,
        /// The file's SHA-256.
        got: String,
    },
    /// The place for a whitening's file is taken by another one.
    #[error("`{}` holds the whitening of another run: choose another folder, or remove it", path.display())]
    OtherWhitening {
        /// The file or folder.
        path: PathBuf,
    },
    /// Buffers given to a data set in memory do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Size {
        /// The buffer.
        what: &'static str,
        /// The length that it should have.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// An image index beyond the end.
    #[error("no image {index}: the data set has {len}")]
    Index {
        /// The picture.
        index: usize,
        /// The number of pictures.
        len: usize,
    },
    /// A transform's text could not be understood.
    #[error("cannot read transform `{text}`")]
    Transform {
        /// The transform, as it was written.
        text: String,
        /// What the reader said.
        source: toml::de::Error,
    },
    /// A transform's option is not of the form `option=value`, or stands twice.
    #[error("option `{option}` of transform `{text}` {problem}")]
    TransformOption {
        /// The transform, as it was written.
        text: String,
        /// The option.
        option: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A number is outside its range.
    #[error("`{option}` of {what} is {got}, expected {expected}")]
    Range {
        /// Whose option it is.
        what: &'static str,
        /// The option.
        option: &'static str,
        /// What would do.
        expected: &'static str,
        /// The value that was given.
        got: String,
    },
    /// An image is smaller than what is to be cut out of it.
    #[error("{transform} needs at least {}x{} pixels, got {}x{}", expected[0], expected[1], got[0], got[1])]
    TooSmall {
        /// The transform.
        transform: &'static str,
        /// The least height and width.
        expected: [usize; 2],
        /// The picture's.
        got: [usize; 2],
    },
    /// Images of varying size reach the batch.
    #[error("the {split} transforms leave images of different sizes: end them with `centre-crop:size=N`")]
    SizeNotFixed {
        /// The split: training or test.
        split: &'static str,
    },
    /// One image has another shape than the batch.
    #[error("image {index} has shape {got:?} after the transforms, expected {expected:?}")]
    Shape {
        /// The picture.
        index: usize,
        /// Those of the batch.
        expected: [usize; 3],
        /// Its channels, height and width.
        got: [usize; 3],
    },
    /// Mean and standard deviation do not fit the channels.
    #[error("`{option}` has {got} values, the images have {channels} channels")]
    Channels {
        /// `mean` or `std`.
        option: &'static str,
        /// The channels of the pictures.
        channels: usize,
        /// How many values were given.
        got: usize,
    },
    /// A preparing thread panicked (a decoder's bug, or ours).
    #[error("preparing batch {batch} failed: {text}")]
    Panicked {
        /// The batch.
        batch: usize,
        /// What the panic said.
        text: String,
    },
    /// The system refuses to start a thread.
    #[error("no thread can be started to prepare batches")]
    NoThread,
    /// A download was asked for that has no public home, or that this build leaves out.
    #[error("data set `{name}` cannot be downloaded: {reason}")]
    NoDownload {
        /// The data set.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// Queries that have nothing to be found.
    #[error("none of {queries} queries has a picture of its person by another camera in the gallery")]
    NoQuery {
        /// How many there are.
        queries: usize,
    },
    /// The server did not deliver.
    #[error("cannot download `{url}`")]
    Download {
        /// Its address.
        url: String,
        /// What the server or the connection said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was downloaded is not what was published.
    #[error("`{url}` has MD5 {got}, expected {expected}")]
    Checksum {
        /// Its address.
        url: String,
        /// The MD5 that was published.
        expected: &'static str,
        /// The MD5 of what came.
        got: String,
    },
}

/// As `.png, .jpg`.
fn endings() -> String {
    EXTENSIONS.map(|ending| format!(".{ending}")).join(", ")
}

fn near(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}

fn flat_advice(labels: Option<&Path>) -> String {
    match labels {
        Some(labels) => format!(
            "sort them into folders by class, or write `{}` with a line `FILE CLASS` for each, where CLASS is a folder of `train`",
            labels.display()
        ),
        None => "sort them into folders by class".to_owned(),
    }
}
