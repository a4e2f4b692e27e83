//! Labelled images: where they come from, how they are transformed, and how they reach the training
//! step.
//!
//! The way of an image: a [`Source`] reads or draws it, a [`Preparation`] (made from a [`Pipeline`]
//! of [`Transform`]s) turns it into numbers, a [`Loader`] puts it into a [`Batch`] on the device.
//! Every random choice on that way is a function of the seed, the epoch and the image's index
//! ([`stream()`]), so neither the number of threads nor an interruption changes what a network
//! sees.

mod batch;
mod catalog;
mod cifar;
#[cfg(feature = "download")]
mod download;
mod error;
mod flat_labels;
mod folder;
mod glyphs;
mod loader;
mod market;
mod mnist;
mod normalise;
mod notation;
mod picture;
mod pipeline;
mod prefetch;
mod resize;
mod source;
mod stream;
mod summary;
mod transform;
mod whitening;
mod zca;

pub use batch::{Batch, HostBatch};
pub use catalog::{DATASETS, DataSpec, DatasetInfo, Home, dataset, open};
pub use error::DataError;
pub use folder::ImageFolder;
pub use glyphs::{GLYPH_CLASSES, GlyphOptions, Glyphs};
pub use loader::{Loader, LoaderOptions, Position};
pub use market::{RetrievalTest, Sighting, Sightings};
pub use normalise::Normalisation;
pub use pipeline::{Pipeline, Preparation};
pub use source::{Image, InMemory, Sample, Source, Split};
pub use stream::{Purpose, stream};
pub use summary::DataSummary;
pub use transform::Transform;
pub use whitening::Whitening;
