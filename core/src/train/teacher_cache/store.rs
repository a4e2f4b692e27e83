//! The outputs of a batch: read where the file has them, computed and written where it has not.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::TensorData;
use half::f16;

use super::fault::CacheFault;
use super::file::{OutputFile, Spoiled};
use super::key::CacheKey;
use crate::data::Batch;
use crate::network::Outputs;
use crate::train::{Event, TrainError};
use crate::value::Value;

/// A teacher's outputs in a file.
#[derive(Debug)]
pub struct TeacherCache {
    key: CacheKey,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: OutputFile,
    /// Pictures whose outputs were there.
    read: usize,
    /// Pictures whose outputs had to be computed.
    computed: usize,
    /// The first fault that was found.
    fault: Option<CacheFault>,
    /// Whether it was told: the others are likely to have the same cause.
    told: bool,
}

impl TeacherCache {
    /// Opens the file of a key in a folder, or makes it.
    ///
    /// # Errors
    /// A disk that refuses.
    pub(super) fn open(folder: &Path, key: CacheKey) -> Result<Self, TrainError> {
        let (file, fault) = OutputFile::open(folder, &key)?;
        let state = State {
            file,
            read: 0,
            computed: 0,
            fault,
            told: false,
        };
        Ok(Self {
            key,
            state: Mutex::new(state),
        })
    }

    /// The named values of a batch. Where the file lacks a picture, `run` computes all kept values
    /// of the whole batch.
    ///
    /// # Errors
    /// A batch of another loader, a value that is not kept or does not fit 16 bits, what `run`
    /// raises, a disk that refuses.
    pub fn outputs(
        &self,
        batch: &Batch,
        values: &[&str],
        run: impl FnOnce(&[&str]) -> Result<Outputs, TrainError>,
    ) -> Result<Outputs, TrainError> {
        self.check(batch)?;
        let wanted = values
            .iter()
            .map(|name| self.place(name))
            .collect::<Result<Vec<usize>, _>>()?;
        let mut state = self.lock();
        let mut missing = Vec::new();
        for position in 0..batch.indices.len() {
            let holds = state
                .file
                .holds(self.record(batch, position), batch.checksums[position], &wanted);
            match holds {
                Ok(true) => {}
                Ok(false) => missing.push(position),
                Err(spoiled) => {
                    let (picture, view) = (batch.indices[position], batch.view);
                    state.fault.get_or_insert(match spoiled {
                        Spoiled::Record => CacheFault::Record { picture, view },
                        Spoiled::Picture => CacheFault::Picture { picture, view },
                    });
                    missing.push(position);
                }
            }
        }
        state.read += batch.indices.len() - missing.len();
        state.computed += missing.len();
        if !missing.is_empty() {
            let kept: Vec<&str> = self.key.values.iter().map(|value| value.name.as_str()).collect();
            self.fill(&mut state.file, batch, &missing, &run(&kept)?)?;
        }
        let mut outputs = Outputs::default();
        for (name, value) in values.iter().zip(wanted) {
            outputs = outputs.with(name, self.read(&state.file, batch, value));
        }
        Ok(outputs)
    }

    /// What the file holds.
    pub fn holding(&self) -> Event {
        let state = self.lock();
        Event::TeacherCache {
            file: state.file.path().to_owned(),
            held: state.file.filled(),
            of: self.key.pictures.views * self.key.pictures.samples,
            bytes: state.file.layout().file_bytes,
        }
    }

    /// The first thing that was wrong with the file, unless it was told before.
    pub fn fault(&self) -> Option<Event> {
        let mut state = self.lock();
        if state.told {
            return None;
        }
        let reason = state.fault.as_ref()?.to_string();
        state.told = true;
        Some(Event::TeacherCacheFault {
            file: state.file.path().to_owned(),
            reason,
        })
    }

    /// How many pictures' outputs came from the file so far.
    pub fn served(&self) -> Event {
        let state = self.lock();
        Event::TeacherOutputs {
            file: state.file.path().to_owned(),
            read: state.read,
            computed: state.computed,
        }
    }

    /// A panic elsewhere leaves records that are whole or not marked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, batch: &Batch) -> Result<(), TrainError> {
        let pictures = &self.key.pictures;
        let fits = batch.view < pictures.views
            && batch.checksums.len() == batch.indices.len()
            && batch.indices.iter().all(|&index| index < pictures.samples);
        if fits {
            return Ok(());
        }
        Err(TrainError::CacheBatch {
            epoch: batch.epoch,
            batch: batch.number,
            views: pictures.views,
            samples: pictures.samples,
        })
    }

    /// Where a value stands in a record.
    fn place(&self, name: &str) -> Result<usize, TrainError> {
        let place = self.key.values.iter().position(|value| value.name == name);
        place.ok_or_else(|| TrainError::CacheValue {
            value: name.to_owned(),
        })
    }

    fn record(&self, batch: &Batch, position: usize) -> u64 {
        batch.view as u64 * self.key.pictures.samples as u64 + batch.indices[position] as u64
    }

    /// Writes the records of some of a batch's pictures.
    fn fill(
        &self,
        file: &mut OutputFile,
        batch: &Batch,
        missing: &[usize],
        outputs: &Outputs,
    ) -> Result<(), TrainError> {
        let mut records = vec![Vec::with_capacity(self.key.values.len()); missing.len()];
        for kept in &self.key.values {
            let refuse = || TrainError::CacheValue {
                value: kept.name.clone(),
            };
            let value = outputs.get(&kept.name).map_err(|_| refuse())?;
            let numbers = value.to_floats().ok_or_else(refuse)?;
            if numbers.len() != batch.indices.len() * kept.len() {
                return Err(refuse());
            }
            for (record, position) in records.iter_mut().zip(missing) {
                let row = &numbers[position * kept.len()..][..kept.len()];
                record.push(half_floats(&kept.name, row)?);
            }
        }
        for (values, &position) in records.iter().zip(missing) {
            file.write(self.record(batch, position), batch.checksums[position], values)?;
        }
        Ok(())
    }

    /// A value `[batch, …]` of records that are filled.
    fn read(&self, file: &OutputFile, batch: &Batch, value: usize) -> Value {
        let kept = &self.key.values[value];
        let mut numbers = Vec::with_capacity(batch.indices.len() * kept.len());
        for position in 0..batch.indices.len() {
            let (halves, _) = file.half_floats(self.record(batch, position), value).as_chunks();
            numbers.extend(halves.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()));
        }
        let shape: Vec<usize> = std::iter::once(batch.indices.len())
            .chain(kept.shape.iter().copied())
            .collect();
        Value::from_data(TensorData::new(numbers, shape), &batch.images.device())
    }
}

/// The nearest 16-bit floats, as little-endian bytes.
fn half_floats(value: &str, numbers: &[f32]) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Vec::with_capacity(2 * numbers.len());
    for &number in numbers {
        let half = f16::from_f32(number);
        if half.is_infinite() && number.is_finite() {
            return Err(TrainError::CacheRange {
                value: value.to_owned(),
                got: number,
            });
        }
        bytes.extend(half.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::key;
    use super::*;
    use burn::tensor::{Device, Int, Tensor};

    /// Pictures 4, 0 and 2 in one of their views.
    fn batch(view: usize) -> Batch {
        let device = Device::flex();
        Batch {
            images: Tensor::zeros([3, 1, 1, 1], &device),
            labels: Tensor::<1, Int>::from_data([0, 0, 0], &device),
            indices: vec![4, 0, 2],
            epoch: view,
            view,
            checksums: vec![14, 10, 12],
            number: 0,
        }
    }

    /// The kept values of a batch of three, counting up from `first`; thirds do not fit 16 bits.
    fn computed(first: f32) -> Outputs {
        let values = |count: usize, shape: Vec<usize>| {
            let numbers: Vec<f32> = (0..count).map(|index| first + index as f32 / 3.0).collect();
            Value::from_data(TensorData::new(numbers, shape), &Device::flex())
        };
        Outputs::default()
            .with("logits", values(9, vec![3, 3]))
            .with("hint", values(12, vec![3, 2, 1, 2]))
    }

    fn floats(outputs: &Outputs, name: &str) -> Vec<f32> {
        outputs.get(name).unwrap().to_floats().unwrap()
    }

    fn never(_: &[&str]) -> Result<Outputs, TrainError> {
        panic!("the teacher ran")
    }

    fn counts(cache: &TeacherCache) -> (usize, usize) {
        match cache.served() {
            Event::TeacherOutputs { read, computed, .. } => (read, computed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn computed_and_read_outputs_are_the_same_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        let first = cache
            .outputs(&batch(1), &["logits", "hint"], |names| {
                assert_eq!(names, ["logits", "hint"]);
                Ok(computed(1.0))
            })
            .unwrap();
        let again = cache.outputs(&batch(1), &["logits", "hint"], never).unwrap();
        assert_eq!(counts(&cache), (3, 3));
        drop(cache);
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        let later = cache.outputs(&batch(1), &["logits", "hint"], never).unwrap();
        for outputs in [&again, &later] {
            for name in ["logits", "hint"] {
                assert_eq!(floats(&first, name), floats(outputs, name));
            }
        }
        assert_eq!(first.get("hint").unwrap().dims(), [3, 2, 1, 2]);
        let exact = floats(&computed(1.0), "logits");
        for (got, exact) in floats(&first, "logits").iter().zip(exact) {
            assert_eq!(*got, f16::from_f32(exact).to_f32());
        }
        assert_eq!(counts(&cache), (3, 0));
        assert!(cache.fault().is_none());
    }

    #[test]
    fn another_view_is_another_record() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        for (view, first) in [(0, 1.0), (1, 5.0)] {
            cache
                .outputs(&batch(view), &["logits"], |_| Ok(computed(first)))
                .unwrap();
        }
        for (view, first) in [(0, 1.0), (1, 5.0)] {
            let outputs = cache.outputs(&batch(view), &["logits"], never).unwrap();
            assert_eq!(floats(&outputs, "logits")[0], first);
        }
        let Event::TeacherCache { held, of, .. } = cache.holding() else {
            panic!("another event");
        };
        assert_eq!((held, of), (6, 10));
    }

    #[test]
    fn a_changed_picture_is_told_once_and_computed_again_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        let run = |first: f32| move |_: &[&str]| Ok(computed(first));
        cache.outputs(&batch(0), &["logits"], run(1.0)).unwrap();
        let mut changed = batch(0);
        changed.checksums[1] = 99;
        let outputs = cache.outputs(&changed, &["logits"], run(7.0)).unwrap();
        let logits = floats(&outputs, "logits");
        // Each picture has three logits; the second one's are new.
        assert_eq!((logits[0], logits[3]), (1.0, 8.0));
        let Some(Event::TeacherCacheFault { reason, .. }) = cache.fault() else {
            panic!("nothing was told");
        };
        assert_eq!(reason, "picture 0, view 0, is not the one that the teacher saw");
        assert!(cache.fault().is_none());
        cache.outputs(&changed, &["logits"], never).unwrap();
        assert_eq!(counts(&cache), (5, 4));
    }

    #[test]
    fn batches_of_another_loader_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        let mut others = [batch(2), batch(0), batch(0)];
        others[1].checksums.clear();
        others[2].indices[1] = 5;
        for other in others {
            let error = cache.outputs(&other, &["logits"], never).unwrap_err();
            assert!(matches!(error, TrainError::CacheBatch { .. }), "{error}");
        }
    }

    #[test]
    fn what_half_precision_cannot_hold_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TeacherCache::open(folder.path(), key()).unwrap();
        let error = cache
            .outputs(&batch(0), &["logits"], |_| Ok(computed(1e5)))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`logits`") && error.contains("100000") && error.contains("65504"),
            "{error}"
        );
        let error = cache.outputs(&batch(0), &["pool"], never).unwrap_err();
        assert!(matches!(error, TrainError::CacheValue { value } if value == "pool"));
    }
}
