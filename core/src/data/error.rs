//! What can be wrong with a data set, a transform or a loader: the file or option, what was
//! expected, what was found.

use std::path::{Path, PathBuf};

/// An error in data that came from outside: files, options, the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A data set's name is not in the catalog.
    #[error("no data set `{name}`{}; known are {}", near(*.nearest), known.join(", "))]
    UnknownDataset {
        name: String,
        known: Vec<&'static str>,
        nearest: Option<&'static str>,
    },
    /// A data set that lives in files was asked for without a folder.
    #[error("data set `{name}` is read from files: name its folder (`dir`, or `--data-dir DIR`)")]
    NoFolder { name: String },
    /// The folder holds none of the layouts that the reader knows.
    #[error("`{}` holds no {what}: expected {}", dir.display(), expected.join(", or "))]
    Missing {
        what: &'static str,
        dir: PathBuf,
        expected: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// A file ends inside a record, or before the size that its header states.
    #[error("`{}` is truncated: record {record} should have {expected} bytes, got {got}", path.display())]
    Truncated {
        path: PathBuf,
        record: usize,
        expected: usize,
        got: usize,
    },
    /// A file holds more than its header states.
    #[error("`{}` goes on after the {expected} bytes that its header states", path.display())]
    TooLong { path: PathBuf, expected: usize },
    /// A label is not a class number.
    #[error("`{}`: record {record} has label {label}, expected less than {classes}", path.display())]
    Label {
        path: PathBuf,
        record: usize,
        label: usize,
        classes: usize,
    },
    /// A header field has another value than the format asks for.
    #[error("`{}`: {field} is {got}, expected {expected}", path.display())]
    Header {
        path: PathBuf,
        field: &'static str,
        expected: String,
        got: String,
    },
    /// A picture could not be decoded.
    #[error("cannot decode `{}`", path.display())]
    Decode {
        path: PathBuf,
        source: image::ImageError,
    },
    /// A picture whose header states more pixels than the file's length can stand for.
    #[error("`{}` states {}x{} pixels, expected at most {most} in a file of {bytes} bytes", path.display(), size[0], size[1])]
    PictureSize {
        path: PathBuf,
        size: [usize; 2],
        most: u64,
        bytes: u64,
    },
    /// A split, folder or file has no images.
    #[error("`{}` holds no images", path.display())]
    Empty { path: PathBuf },
    /// The test folder has a class that the training folder lacks.
    #[error("class folder `{}` has no counterpart among the {known} training classes", path.display())]
    UnknownClass { path: PathBuf, known: usize },
    /// Pictures lie where class folders are expected.
    #[error("`{}` holds {pictures} pictures and no class folders: {}", root.display(), flat_advice(labels.as_deref()))]
    Flat {
        root: PathBuf,
        pictures: usize,
        labels: Option<PathBuf>,
    },
    /// A list of classes lacks a picture, or names a class that is none.
    #[error("`{}` {problem}", path.display())]
    FlatLabel { path: PathBuf, problem: String },
    /// A picture of Market-1501 whose name says neither person nor camera.
    #[error(
        "`{}` is no name of a Market-1501 picture: expected one as `0002_c1s1_000451_03.jpg`, with identity (-1 and 0000 in the gallery), camera, sequence, frame and box",
        path.display()
    )]
    MarketName { path: PathBuf },
    /// Training pictures of which none can be held out.
    #[error("`{}` has no identity of {expected} pictures or more, so that none can be held out for validation", path.display())]
    NoHeldOut { path: PathBuf, expected: usize },
    /// Steps of `normalise` in an order that has no meaning.
    #[error("`normalise` is {got:?}, expected `gcn`, `zca`, or `gcn` and then `zca`")]
    NormaliseOrder { got: Vec<String> },
    /// A normalisation among the transforms.
    #[error(
        "`{text}` takes the place of mean and standard deviation in both splits: write it in `normalise`, not among the transforms"
    )]
    Misplaced { text: String },
    /// Two normalisations at once.
    #[error(
        "`{option}` and `normalise` are given together, expected one of them: `normalise` takes the place of mean and standard deviation"
    )]
    NormalisedTwice { option: &'static str },
    /// Pictures whose whitening matrix would not fit the memory.
    #[error(
        "zca of pictures {shape:?} [channels, height, width], expected at most {most} numbers, as 3x64x64 has: the matrix has their square"
    )]
    TooLargeToWhiten { shape: [usize; 3], most: usize },
    /// Training pictures from which no whitening can be computed.
    #[error(
        "zca cannot be fitted on {pictures} pictures with eps={eps}: expected finite numbers, and an eps that 64 bits can tell from 0 beside the largest variance"
    )]
    NoWhitening { pictures: usize, eps: f64 },
    /// A pipeline with `zca` of which nothing was fitted.
    #[error("`zca` was not fitted on the training pictures")]
    NotFitted,
    /// A whitening for other pictures, or after other steps.
    #[error("the whitening was fitted for {got}, expected {expected}")]
    WhiteningMisfit { got: String, expected: String },
    /// A file of a whitening that is damaged.
    #[error("`{}` is no whitening that could be read: {problem}", path.display())]
    WhiteningFile { path: PathBuf, problem: String },
    /// A file of a whitening, but of another one.
    #[error("`{}` has SHA-256 {got}, expected {expected}: it is not the whitening that the network was trained with", path.display())]
    WhiteningHash {
        path: PathBuf,
        expected: String,
        got: String,
    },
    /// The place for a whitening's file is taken by another one.
    #[error("`{}` holds the whitening of another run: choose another folder, or remove it", path.display())]
    OtherWhitening { path: PathBuf },
    /// Buffers given to a data set in memory do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Size {
        what: &'static str,
        expected: usize,
        got: usize,
    },
    /// An image index beyond the end.
    #[error("no image {index}: the data set has {len}")]
    Index { index: usize, len: usize },
    /// A transform's text could not be understood.
    #[error("cannot read transform `{text}`")]
    Transform { text: String, source: toml::de::Error },
    /// A transform's option is not of the form `option=value`, or stands twice.
    #[error("option `{option}` of transform `{text}` {problem}")]
    TransformOption {
        text: String,
        option: String,
        problem: &'static str,
    },
    /// A number is outside its range.
    #[error("`{option}` of {what} is {got}, expected {expected}")]
    Range {
        what: &'static str,
        option: &'static str,
        expected: &'static str,
        got: String,
    },
    /// An image is smaller than what is to be cut out of it.
    #[error("{transform} needs at least {}x{} pixels, got {}x{}", expected[0], expected[1], got[0], got[1])]
    TooSmall {
        transform: &'static str,
        expected: [usize; 2],
        got: [usize; 2],
    },
    /// Images of varying size reach the batch.
    #[error("the {split} transforms leave images of different sizes: end them with `centre-crop:size=N`")]
    SizeNotFixed { split: &'static str },
    /// One image has another shape than the batch.
    #[error("image {index} has shape {got:?} after the transforms, expected {expected:?}")]
    Shape {
        index: usize,
        expected: [usize; 3],
        got: [usize; 3],
    },
    /// Mean and standard deviation do not fit the channels.
    #[error("`{option}` has {got} values, the images have {channels} channels")]
    Channels {
        option: &'static str,
        channels: usize,
        got: usize,
    },
    /// A preparing thread panicked (a decoder's bug, or ours).
    #[error("preparing batch {batch} failed: {text}")]
    Panicked { batch: usize, text: String },
    /// The system refuses to start a thread.
    #[error("no thread can be started to prepare batches")]
    NoThread,
    /// A download was asked for that has no public home, or that this build leaves out.
    #[error("data set `{name}` cannot be downloaded: {reason}")]
    NoDownload {
        name: &'static str,
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
        url: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was downloaded is not what was published.
    #[error("`{url}` has MD5 {got}, expected {expected}")]
    Checksum {
        url: String,
        expected: &'static str,
        got: String,
    },
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
