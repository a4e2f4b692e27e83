//! What people write: TOML tables and the short texts of flags.

use potstill_core::data::{DataSpec, Normalisation, Pipeline, Transform};
use potstill_core::plugin::{PluginSpec, values};
use potstill_core::schedule::Schedule;
use potstill_core::train::TrainConfig;

use super::worded;

/// The bytes as a text: each table of a configuration, each notation of a flag.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    worded(toml::from_str::<DataSpec>(text));
    worded(toml::from_str::<Pipeline>(text));
    if let Some(config) = worded(toml::from_str::<TrainConfig>(text)) {
        worded(config.check());
    }
    if let Some(transform) = worded(text.parse::<Transform>()) {
        drop(transform.to_string());
        worded(transform.size(Some([32, 32])));
    }
    if let Some(step) = worded(text.parse::<Normalisation>()) {
        drop(step.to_string());
    }
    if let Some(schedule) = worded(text.parse::<Schedule>()) {
        schedule.at(3.5);
        schedule.range();
    }
    if let Some(plugin) = worded(text.parse::<PluginSpec>()) {
        drop(plugin.to_string());
    }
    drop(values(text));
}
