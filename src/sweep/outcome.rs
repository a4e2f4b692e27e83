//! The accuracy of a run, and of its repeats.

use serde::Serialize;

use crate::report::record::Record;

/// The metric that combinations are compared by.
const ACCURACY: &str = "valid.top1";

/// What came out of one run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The best validation accuracy, in percent.
    pub best: Option<f64>,
    /// The last one.
    pub last: Option<f64>,
    /// Training time.
    pub seconds: Option<f64>,
    /// Why it did not come to its end.
    pub failure: Option<String>,
}

impl Outcome {
    /// From the folder of a run.
    pub fn of(record: &Record) -> Self {
        let accuracies = record
            .metrics
            .as_ref()
            .map(|metrics| metrics.over_epochs(ACCURACY))
            .unwrap_or_default();
        Self {
            best: accuracies.iter().map(|(_, accuracy)| *accuracy).reduce(f64::max),
            last: accuracies.last().map(|(_, accuracy)| *accuracy),
            seconds: record.seconds(),
            failure: None,
        }
    }
}

/// The mean of repeats and their standard deviation (with n − 1), which a single one does not have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of some values; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        })
    }

    /// `41.20 ± 0.35 %`.
    pub fn text(self) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.2} ± {deviation:.2} %", self.mean),
            None => format!("{:.2} %", self.mean),
        }
    }
}
