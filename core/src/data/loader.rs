//! Batches of a split, prepared ahead by worker threads.
//!
//! The batches of an epoch are a function of the source, the options and the epoch's number: the
//! same with one thread or ten, and the same after an interruption, for [`Position`] starts
//! anywhere without preparing what came before. Workers make a [`HostBatch`] (plain memory);
//! tensors are made by the thread that consumes them, so a device sees one stream of work.

use super::{
    Batch, DataError, HostBatch, Pipeline, Preparation, Purpose, Source, Split, prefetch::Prefetch, stream,
    whitening::OnDevice,
};
use burn::tensor::Device;
use rand::seq::SliceRandom;
use std::sync::{Arc, Mutex, PoisonError};

/// How batches are made of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// What order and augmentation follow from.
    pub seed: u64,
    /// Whether each epoch has its own order; without it, the source's.
    pub shuffle: bool,
    /// Threads that prepare batches.
    pub threads: usize,
    /// Batches that wait ahead of the consumer, at most.
    pub ahead: usize,
    /// Whether a last batch of fewer images is left out.
    pub drop_last: bool,
    /// Takes the first so many images only.
    pub limit: Option<usize>,
    /// Augmentations of each image, which the epochs go through in turn; with 0, each epoch draws
    /// its own.
    pub views: usize,
}

impl Default for LoaderOptions {
    /// 64 images in a new order each epoch, two threads, four batches ahead.
    fn default() -> Self {
        Self {
            batch_size: 64,
            seed: 0,
            shuffle: true,
            threads: 2,
            ahead: 4,
            drop_last: false,
            limit: None,
            views: 0,
        }
    }
}

/// Where the next call of [`Loader::iter`] starts: an epoch and a batch in it. A handle: clones are
/// the same position.
#[derive(Clone, Debug, Default)]
pub struct Position(Arc<Mutex<(usize, usize)>>);

impl Position {
    /// The next iterator starts at `batch` of `epoch`, both counted from 0.
    pub fn set(&self, epoch: usize, batch: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (epoch, batch);
    }

    /// `(epoch, batch)` at which the next iterator starts.
    pub fn get(&self) -> (usize, usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present value; the next one is the start of the following epoch.
    fn advance(&self) -> (usize, usize) {
        let mut position = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let present = *position;
        *position = (present.0 + 1, 0);
        present
    }
}

/// Batches of one split. Each iterator gives one epoch (what is left of it, after
/// [`Position::set`]) and moves the position to the next one.
#[derive(Clone)]
pub struct Loader {
    epochs: Arc<Epochs>,
    device: Device,
    /// Where the pipeline whitens.
    whitening: Option<OnDevice>,
    position: Position,
}

/// What batches are made from.
struct Epochs {
    source: Arc<dyn Source>,
    preparation: Preparation,
    options: LoaderOptions,
    /// How many of the source's first images take part.
    images: usize,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("options", &self.epochs.options)
            .field("images", &self.epochs.images)
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// A loader of `split`'s images, which are `source`, for `device`.
    ///
    /// # Errors
    /// What [`Pipeline::resolve`] refuses; [`DataError::WhiteningMisfit`]; [`DataError::Range`] for
    /// a batch size or limit of 0, and for a data set that is smaller than the one batch that
    /// `drop_last` would keep.
    pub fn new(
        source: Arc<dyn Source>,
        pipeline: &Pipeline,
        split: Split,
        options: LoaderOptions,
        device: &Device,
    ) -> Result<Self, DataError> {
        let preparation = pipeline.resolve(source.as_ref(), split)?;
        let images = options.limit.unwrap_or(usize::MAX).min(source.len());
        let range = |option, expected, got: usize| DataError::Range {
            what: "the loader",
            option,
            expected,
            got: got.to_string(),
        };
        if options.batch_size == 0 {
            return Err(range("batch_size", "at least 1", 0));
        }
        if images == 0 {
            return Err(range("the number of images", "at least 1", 0));
        }
        if options.drop_last && images < options.batch_size {
            return Err(range(
                "batch_size",
                "at most the number of images, as partial batches are left out",
                options.batch_size,
            ));
        }
        let epochs = Arc::new(Epochs {
            source,
            preparation,
            options,
            images,
        });
        let loader = Self {
            whitening: None,
            epochs,
            device: device.clone(),
            position: Position::default(),
        };
        loader.whitened(pipeline)
    }

    /// With the whitening that `pipeline` has got since the loader was made of it.
    ///
    /// # Errors
    /// [`DataError::WhiteningMisfit`].
    pub fn whitened(mut self, pipeline: &Pipeline) -> Result<Self, DataError> {
        if let Some(whitening) = pipeline.whitening.as_deref().filter(|_| pipeline.whitens()) {
            whitening.check(&pipeline.normalise, self.image_shape())?;
            self.whitening = Some(whitening.on(&self.device));
        }
        Ok(self)
    }

    /// The handle that says where the next iterator starts.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    /// `[channels, height, width]` of a prepared image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.epochs.preparation.shape()
    }

    /// The number of batches in an epoch.
    pub(crate) fn num_batches(&self) -> usize {
        self.epochs.num_batches()
    }

    /// The number of images in an epoch's batches.
    pub fn num_items(&self) -> usize {
        self.epochs.num_items()
    }

    /// The batches of the next epoch, or of what is left of it, on the device; an error is the
    /// last.
    pub fn iter(&self) -> impl Iterator<Item = Result<Batch, DataError>> + use<> {
        let (epoch, first) = self.position.advance();
        Epoch {
            batches: Box::new(self.host_batches(epoch, first)),
            device: self.device.clone(),
            whitening: self.whitening.clone(),
            whitens: self.epochs.preparation.whitens(),
            failed: false,
        }
    }

    /// The batches of `epoch` from number `first` on, in host memory, before whitening.
    pub fn host_batches(
        &self,
        epoch: usize,
        first: usize,
    ) -> impl Iterator<Item = Result<HostBatch, DataError>> + use<> {
        let epochs = Arc::clone(&self.epochs);
        let order = epochs.order(epoch);
        let (count, options) = (epochs.num_batches(), &epochs.options);
        let (threads, ahead) = (options.threads, options.ahead);
        Prefetch::new(first.min(count)..count, threads, ahead, move |number| {
            epochs.prepare(&order, epoch, number)
        })
    }
}

impl Epochs {
    fn num_batches(&self) -> usize {
        match self.options.drop_last {
            true => self.images / self.options.batch_size,
            false => self.images.div_ceil(self.options.batch_size),
        }
    }

    fn num_items(&self) -> usize {
        self.images.min(self.num_batches() * self.options.batch_size)
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images).collect();
        if self.options.shuffle {
            order.shuffle(&mut stream(self.options.seed, Purpose::Order, epoch as u64, 0));
        }
        order
    }

    fn prepare(&self, order: &[usize], epoch: usize, number: usize) -> Result<HostBatch, DataError> {
        let start = number * self.options.batch_size;
        let indices = order[start..order.len().min(start + self.options.batch_size)].to_vec();
        let [channels, height, width] = self.preparation.shape();
        let pixels = channels * height * width;
        let mut images = vec![0.0; indices.len() * pixels];
        let mut labels = Vec::with_capacity(indices.len());
        let view = epoch.checked_rem(self.options.views).unwrap_or(epoch);
        let mut checksums = Vec::new();
        for (&index, out) in indices.iter().zip(images.chunks_exact_mut(pixels)) {
            let sample = self.source.read(index)?;
            let mut rng = stream(self.options.seed, Purpose::Augment, view as u64, index as u64);
            let prepared = self.preparation.apply(index, sample.image, &mut rng, out);
            prepared.map_err(|source| match self.source.path(index) {
                Some(path) => DataError::Prepare {
                    path: path.to_owned(),
                    source: Box::new(source),
                },
                None => source,
            })?;
            if self.options.views > 0 {
                checksums.push(crc32fast::hash(bytemuck::cast_slice(out)));
            }
            labels.push(sample.label as i64);
        }
        let shape = [indices.len(), channels, height, width];
        Ok(HostBatch {
            images,
            shape,
            labels,
            indices,
            epoch,
            view,
            checksums,
            number,
        })
    }
}

/// The batches of an epoch, on the device; an error is the last item.
struct Epoch {
    batches: Box<dyn Iterator<Item = Result<HostBatch, DataError>>>,
    device: Device,
    whitening: Option<OnDevice>,
    whitens: bool,
    failed: bool,
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.batches.next()?.and_then(|batch| self.place(batch));
        self.failed = batch.is_err();
        Some(batch)
    }
}

impl Epoch {
    /// Puts a batch on the device and whitens it there.
    fn place(&self, batch: HostBatch) -> Result<Batch, DataError> {
        let batch = batch.to_device(&self.device);
        match &self.whitening {
            Some(whitening) => Ok(whitening.apply(batch)),
            None if self.whitens => Err(DataError::NotFitted),
            None => Ok(batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{InMemory, Sample, dataset};
    use std::collections::HashSet;

    /// 23 images of 3x8x8; the pixels of image n start at n.
    fn source(count: usize) -> Arc<dyn Source> {
        let pixels = (0..count * 192).map(|n| (n / 192 * 3 + n % 64) as u8).collect();
        let classes = (0..4).map(|n| n.to_string()).collect();
        Arc::new(InMemory::new([3, 8, 8], classes, (0..count).map(|n| n % 4).collect(), pixels).unwrap())
    }

    fn loader(options: LoaderOptions) -> Loader {
        let pipeline = dataset("cifar100").unwrap().pipeline();
        Loader::new(source(23), &pipeline, Split::Train, options, &Device::flex()).unwrap()
    }

    fn options() -> LoaderOptions {
        LoaderOptions {
            batch_size: 4,
            seed: 5,
            ..LoaderOptions::default()
        }
    }

    fn epoch(loader: &Loader, epoch: usize, first: usize) -> Vec<HostBatch> {
        loader
            .host_batches(epoch, first)
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let one = loader(LoaderOptions {
            threads: 1,
            ahead: 1,
            ..options()
        });
        let four = loader(LoaderOptions {
            threads: 4,
            ahead: 9,
            ..options()
        });
        for number in 0..3 {
            assert_eq!(epoch(&one, number, 0), epoch(&four, number, 0));
        }
    }

    #[test]
    fn every_epoch_shows_each_image_once_in_another_order_and_view() {
        let loader = loader(options());
        let (first, second) = (epoch(&loader, 0, 0), epoch(&loader, 1, 0));
        assert_eq!(
            first.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(),
            [4, 4, 4, 4, 4, 3]
        );
        let order = |batches: &[HostBatch]| {
            batches
                .iter()
                .flat_map(|batch| batch.indices.clone())
                .collect::<Vec<_>>()
        };
        assert_ne!(order(&first), order(&second));
        for batches in [&first, &second] {
            assert_eq!(order(batches).into_iter().collect::<HashSet<_>>().len(), 23);
        }
        let view = |batches: &[HostBatch], index: usize| {
            let at = order(batches).iter().position(|&found| found == index).unwrap();
            batches[at / 4].images[at % 4 * 192..][..192].to_vec()
        };
        // One of the 162 places and mirrorings of each image differs from the other almost always.
        assert!(
            (0..23)
                .filter(|&index| view(&first, index) != view(&second, index))
                .count()
                > 15
        );
        for batch in &first {
            assert!(
                batch
                    .indices
                    .iter()
                    .zip(&batch.labels)
                    .all(|(index, &label)| (index % 4) as i64 == label)
            );
        }
    }

    #[test]
    fn views_come_again_in_turn_while_the_order_stays_new() {
        let loader = loader(LoaderOptions {
            views: 2,
            ..options()
        });
        let prepared = |number: usize| -> Vec<(usize, Vec<f32>, u32)> {
            let batches = epoch(&loader, number, 0);
            assert!(batches.iter().all(|batch| batch.view == number % 2));
            let pictures = batches.iter().flat_map(|batch| {
                let images = batch.images.chunks_exact(192).map(<[f32]>::to_vec);
                batch
                    .indices
                    .iter()
                    .copied()
                    .zip(images)
                    .zip(batch.checksums.iter().copied())
            });
            pictures
                .map(|((index, image), checksum)| (index, image, checksum))
                .collect()
        };
        let sorted = |mut pictures: Vec<(usize, Vec<f32>, u32)>| {
            pictures.sort_by_key(|(index, ..)| *index);
            pictures
        };
        let order = |pictures: &[(usize, Vec<f32>, u32)]| {
            pictures.iter().map(|(index, ..)| *index).collect::<Vec<_>>()
        };
        let (first, second, third) = (prepared(0), prepared(1), prepared(2));
        assert_eq!(first.len(), 23);
        assert_ne!(order(&first), order(&third));
        assert_ne!(sorted(first.clone()), sorted(second));
        assert_eq!(sorted(first), sorted(third));
    }

    #[test]
    fn without_views_each_epoch_draws_what_it_always_drew() {
        let (free, bound) = (
            loader(options()),
            loader(LoaderOptions {
                views: 9,
                ..options()
            }),
        );
        for (free, bound) in epoch(&free, 5, 0).into_iter().zip(epoch(&bound, 5, 0)) {
            assert_eq!((free.images, free.view), (bound.images, 5));
            assert!(free.checksums.is_empty());
        }
    }

    #[test]
    fn an_epoch_can_be_entered_in_the_middle() {
        let whole = epoch(&loader(options()), 2, 0);
        assert_eq!(epoch(&loader(options()), 2, 4), whole[4..]);

        let loader = loader(options());
        let handle = loader.position();
        handle.set(2, 4);
        let mut iterator = loader.iter();
        let batch = iterator.next().unwrap().unwrap();
        assert_eq!(
            (batch.epoch, batch.number, &batch.indices),
            (2, 4, &whole[4].indices)
        );
        assert_eq!(
            batch.images.into_data().try_to_vec::<f32>().unwrap(),
            whole[4].images
        );
        assert_eq!(
            batch.labels.into_data().iter::<i64>().collect::<Vec<_>>(),
            whole[4].labels
        );
        assert!(iterator.next().unwrap().is_ok() && iterator.next().is_none());
        assert_eq!(handle.get(), (3, 0));
        handle.set(3, 99);
        assert!(loader.iter().next().is_none());
    }

    #[test]
    fn partial_batches_and_limits_count_what_they_give() {
        let dropped = loader(LoaderOptions {
            drop_last: true,
            ..options()
        });
        assert_eq!((dropped.num_items(), dropped.num_batches()), (20, 5));
        assert_eq!(dropped.iter().count(), 5);
        let limited = loader(LoaderOptions {
            limit: Some(6),
            shuffle: false,
            ..options()
        });
        assert_eq!(
            (limited.num_items(), epoch(&limited, 0, 0)[1].indices.clone()),
            (6, vec![4, 5])
        );
    }

    #[test]
    fn options_that_give_no_batch_are_refused() {
        let pipeline = dataset("cifar100").unwrap().pipeline();
        let build = |options| {
            Loader::new(source(3), &pipeline, Split::Test, options, &Device::flex())
                .err()
                .unwrap()
        };
        for wrong in [
            LoaderOptions {
                batch_size: 0,
                ..options()
            },
            LoaderOptions {
                limit: Some(0),
                ..options()
            },
            LoaderOptions {
                drop_last: true,
                ..options()
            },
        ] {
            assert!(matches!(
                build(wrong),
                DataError::Range {
                    what: "the loader",
                    ..
                }
            ));
        }
    }

    /// Fails at image 5.
    struct Broken(Arc<dyn Source>);

    impl Source for Broken {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn channels(&self) -> usize {
            self.0.channels()
        }
        fn size(&self) -> Option<[usize; 2]> {
            self.0.size()
        }
        fn label(&self, index: usize) -> Result<usize, DataError> {
            self.0.label(index)
        }
        fn read(&self, index: usize) -> Result<Sample, DataError> {
            if index == 5 {
                Err(DataError::Empty {
                    path: "five.png".into(),
                })
            } else {
                self.0.read(index)
            }
        }
    }

    #[test]
    fn an_error_of_the_source_is_the_last_item() {
        let pipeline = dataset("cifar100").unwrap().pipeline();
        let options = LoaderOptions {
            shuffle: false,
            ..options()
        };
        let loader = Loader::new(
            Arc::new(Broken(source(23))),
            &pipeline,
            Split::Train,
            options,
            &Device::flex(),
        )
        .unwrap();
        let items: Vec<_> = loader.iter().collect();
        assert_eq!(items.len(), 2);
        assert_eq!(
            items[1].as_ref().unwrap_err().to_string(),
            "`five.png` holds no images"
        );
    }

    #[test]
    fn an_iterator_dropped_early_leaves_no_thread() {
        let source = source(23);
        let pipeline = dataset("cifar100").unwrap().pipeline();
        let options = LoaderOptions {
            threads: 4,
            batch_size: 1,
            ..options()
        };
        let loader = Loader::new(
            Arc::clone(&source),
            &pipeline,
            Split::Train,
            options,
            &Device::flex(),
        )
        .unwrap();
        let mut iterator = loader.iter();
        iterator.next().unwrap().unwrap();
        drop(iterator);
        assert_eq!(Arc::strong_count(&loader.epochs), 1);
    }
}
