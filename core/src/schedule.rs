//! Numbers that change over training: the weight of a loss term, say.
//!
//! Written as a number (`0.9`), `linear(4, 1, 50)` (from 4 to 1 over 50 epochs), `rampup(1, 80)`
//! (exp(−5 (1 − t/80)²), Laine and Aila 2017, to 1 over 80 epochs), or `step(1, 30=0.5, 60=0.1)`
//! (1, from epoch 30 on 0.5, from epoch 60 on 0.1).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number as a function of the epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// The same throughout.
    Constant(f64),
    /// A straight line, then constant.
    Linear {
        /// Value at epoch 0.
        from: f64,
        /// Value at the end.
        to: f64,
        /// Epochs that it takes.
        epochs: f64,
    },
    /// Gaussian ramp-up, then constant.
    RampUp {
        /// Value at the end.
        to: f64,
        /// Epochs that it takes.
        epochs: f64,
    },
    /// Constant between epochs.
    Step {
        /// Value at epoch 0.
        from: f64,
        /// (epoch, value from then on), ascending.
        steps: Vec<(f64, f64)>,
    },
}

impl Schedule {
    /// The value at an epoch (fractions count).
    pub fn at(&self, epoch: f64) -> f64 {
        match self {
            Schedule::Constant(value) => *value,
            Schedule::Linear { from, to, epochs } => from + (to - from) * (epoch / epochs).clamp(0.0, 1.0),
            Schedule::RampUp { to, epochs } => {
                let left = 1.0 - (epoch / epochs).clamp(0.0, 1.0);
                to * (-5.0 * left * left).exp()
            }
            Schedule::Step { from, steps } => steps
                .iter()
                .rev()
                .find(|(start, _)| epoch >= *start)
                .map_or(*from, |(_, value)| *value),
        }
    }

    /// Every value that the schedule can take lies between these two.
    pub fn range(&self) -> (f64, f64) {
        let values: Vec<f64> = match self {
            Schedule::Constant(value) => vec![*value],
            Schedule::Linear { from, to, .. } => vec![*from, *to],
            Schedule::RampUp { to, .. } => vec![0.0, *to],
            Schedule::Step { from, steps } => steps.iter().map(|(_, value)| *value).chain([*from]).collect(),
        };
        let fold = |start: f64, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is no schedule, expected a number, linear(from, to, epochs), rampup(to, epochs) or step(value, epoch=value, …)"
)]
pub struct ScheduleError {
    text: String,
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let refuse = || ScheduleError {
            text: text.to_owned(),
        };
        let number = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite())
                .ok_or_else(refuse)
        };
        let Some((name, rest)) = text.trim().split_once('(') else {
            return Ok(Schedule::Constant(number(text)?));
        };
        let inside = rest.strip_suffix(')').ok_or_else(refuse)?;
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let positive = |text: &str| number(text).and_then(|x| if x > 0.0 { Ok(x) } else { Err(refuse()) });
        match (name.trim(), parts.as_slice()) {
            ("linear", [from, to, epochs]) => Ok(Schedule::Linear {
                from: number(from)?,
                to: number(to)?,
                epochs: positive(epochs)?,
            }),
            ("rampup", [to, epochs]) => Ok(Schedule::RampUp {
                to: number(to)?,
                epochs: positive(epochs)?,
            }),
            ("step", [from, steps @ ..]) => {
                let step = |text: &&str| {
                    let (epoch, value) = text.split_once('=').ok_or_else(refuse)?;
                    Ok((number(epoch)?, number(value)?))
                };
                let steps = steps.iter().map(step).collect::<Result<Vec<_>, _>>()?;
                if !steps.is_sorted_by(|a, b| a.0 < b.0) {
                    return Err(refuse());
                }
                Ok(Schedule::Step {
                    from: number(from)?,
                    steps,
                })
            }
            _ => Err(refuse()),
        }
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Schedule::Constant(value) => write!(f, "{value}"),
            Schedule::Linear { from, to, epochs } => write!(f, "linear({from}, {to}, {epochs})"),
            Schedule::RampUp { to, epochs } => write!(f, "rampup({to}, {epochs})"),
            Schedule::Step { from, steps } => {
                write!(f, "step({from}")?;
                for (epoch, value) in steps {
                    write!(f, ", {epoch}={value}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Ok(Schedule::Constant(value)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Schedule::Constant(value) => serializer.serialize_f64(*value),
            other => serializer.collect_str(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_takes_the_values_that_it_says() {
        let at = |text: &str, epoch| text.parse::<Schedule>().unwrap().at(epoch);
        assert_eq!(at("0.9", 7.0), 0.9);
        assert_eq!(at("linear(4, 1, 50)", 25.0), 2.5);
        assert_eq!(at("linear(4, 1, 50)", 99.0), 1.0);
        assert_eq!(at("step(1, 30=0.5, 60=0.1)", 30.0), 0.5);
        // OKDDip's records: epoch 0 gives 0.00673795, epoch 40 of 80 gives 0.286505.
        assert!((at("rampup(1, 80)", 0.0) - 0.006_737_95).abs() < 1e-8);
        assert!((at("rampup(1, 80)", 40.0) - 0.286_505).abs() < 1e-6);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "0.9",
            "linear(4, 1, 50)",
            "rampup(1, 80)",
            "step(1, 30=0.5, 60=0.1)",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "fast",
            "linear(1,2)",
            "linear(1,2,0)",
            "step(1, 60=1, 30=2)",
            "nan",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
