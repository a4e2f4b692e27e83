//! Pictures in their order for evaluation, and what classifiers make of them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use indexmap::IndexMap;
use indexmap::map::Entry;
use potstill_core::data::{Loader, LoaderOptions, Pipeline, Source, Split};
use potstill_core::plugin::PluginError;
use potstill_core::task::{Evaluation, evaluate};
use potstill_core::train::TrainError;
use potstill_exporters::runtime::Runtime;
use potstill_teachers::Classifier;

use crate::error::RunError;

/// Batches that wait ahead of the step.
pub(crate) const AHEAD: usize = 4;
/// Pictures that are evaluated at once.
const EVALUATION_BATCH: usize = 250;

/// Batches for evaluation, in the data set's order.
///
/// # Errors
/// Transforms that do not fit the pictures.
pub fn test_loader(
    source: &Arc<dyn Source>,
    pipeline: &Pipeline,
    limit: Option<usize>,
    workers: Option<usize>,
    device: &Device,
) -> Result<Loader, RunError> {
    let options = LoaderOptions {
        batch_size: EVALUATION_BATCH,
        seed: 0,
        shuffle: false,
        threads: threads(workers),
        ahead: AHEAD,
        drop_last: false,
        limit,
        views: 0,
    };
    Ok(Loader::new(
        source.clone(),
        pipeline,
        Split::Test,
        options,
        device,
    )?)
}

/// The threads that prepare pictures: as many as the processor has, unless given.
pub(crate) fn threads(given: Option<usize>) -> usize {
    given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Accuracy and loss of an imported classifier.
///
/// # Errors
/// Pictures that cannot be read; logits that are no numbers.
pub fn evaluate_classifier(classifier: &Classifier, test: &Loader) -> Result<Evaluation, RunError> {
    let mut broken = 0;
    let evaluation = evaluate(test, |pictures| {
        let outputs = classifier.forward(pictures, &[]).map_err(TrainError::from)?;
        let logits = outputs.float(classifier.logits()).map_err(PluginError::from)?;
        broken += rows_without_numbers(&logits);
        Ok::<_, RunError>(logits)
    })?;
    if broken > 0 {
        return Err(RunError::NoNumbers {
            path: classifier.path.clone(),
            broken,
            pictures: evaluation.samples,
        });
    }
    Ok(evaluation)
}

/// Rows of logits `[batch, classes]` that hold NaN, or infinity.
pub(crate) fn rows_without_numbers(logits: &Tensor<2>) -> usize {
    let classes = logits.dims()[1].max(1);
    let logits: Vec<f32> = logits.clone().into_data().iter().collect();
    logits
        .chunks_exact(classes)
        .filter(|row| !row.iter().all(|logit| logit.is_finite()))
        .count()
}

/// Accuracy and loss of encoded bytes in tract; `classifier` is what they were read as.
///
/// # Errors
/// Pictures that cannot be read, a file that tract refuses.
pub fn evaluate_in_tract(
    bytes: &[u8],
    classifier: &Classifier,
    test: &Loader,
) -> Result<Evaluation, RunError> {
    let inputs = &classifier.network.graph().inputs;
    // The last batch is a smaller one, and tract optimises for one size.
    let mut runtimes: IndexMap<usize, Runtime> = IndexMap::new();
    evaluate(test, |pictures| {
        let batch = pictures.dims()[0];
        let runtime = match runtimes.entry(batch) {
            Entry::Occupied(runtime) => runtime.into_mut(),
            Entry::Vacant(place) => place.insert(Runtime::new(bytes, inputs, batch)?),
        };
        let feed: Vec<f32> = pictures.into_data().iter().collect();
        let logits = runtime.run(&[feed])?.into_iter().next().unwrap_or_default();
        let classes = logits.len() / batch.max(1);
        let logits = TensorData::new(logits, [batch, classes]);
        Ok(Tensor::from_data(logits, &Device::flex()))
    })
}
