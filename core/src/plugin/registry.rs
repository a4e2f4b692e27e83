//! The methods of this binary: each registers itself in its own file.

use indexmap::IndexMap;
use toml::Table;

use super::error::PluginError;
use super::hooks::Plugin;
use super::options::PluginSpec;
use crate::names::nearest;

/// Where a method was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Paper {
    /// The title.
    pub title: &'static str,
    /// The authors' family names.
    pub authors: &'static str,
    /// The year.
    pub year: u16,
    /// The arXiv number; empty where the paper is not there.
    pub arxiv: &'static str,
}

/// One option of a method.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct PluginOption {
    /// Its key.
    pub name: &'static str,
    /// What it does, with unit and range.
    pub doc: &'static str,
}

/// A method's registration: data that `potstill plugins`, the documentation and the tests read.
#[derive(Clone, Copy, Debug)]
pub struct PluginEntry {
    /// The name that users write.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Where it was published.
    pub paper: Paper,
    /// Its options; the keys are those of its configuration.
    pub options: &'static [PluginOption],
    /// The default configuration, from the type that also reads it.
    pub defaults: fn() -> Table,
    /// Builds the method.
    pub build: fn(Table) -> Result<Box<dyn Plugin>, PluginError>,
}

inventory::collect!(PluginEntry);

/// All registered methods, by name.
///
/// # Errors
/// [`PluginError::Twice`] when two files register one name.
pub fn entries() -> Result<IndexMap<&'static str, &'static PluginEntry>, PluginError> {
    let mut entries = IndexMap::new();
    for entry in inventory::iter::<PluginEntry> {
        if entries.insert(entry.name, entry).is_some() {
            return Err(PluginError::Twice {
                name: entry.name.to_owned(),
            });
        }
    }
    entries.sort_unstable_keys();
    Ok(entries)
}

/// The registration of a name.
///
/// # Errors
/// [`PluginError::Unknown`] with the nearest names.
pub fn find(name: &str) -> Result<&'static PluginEntry, PluginError> {
    let entries = entries()?;
    entries.get(name).copied().ok_or_else(|| PluginError::Unknown {
        name: name.to_owned(),
        near: nearest(name, entries.keys().copied(), 3),
        known: entries.keys().map(|name| (*name).to_owned()).collect(),
    })
}

impl PluginSpec {
    /// Builds the plugin.
    ///
    /// # Errors
    /// An unknown name, an unknown option, a value outside its range.
    pub fn build(&self) -> Result<Box<dyn Plugin>, PluginError> {
        let entry = find(&self.name)?;
        let known = || entry.options.iter().map(|option| option.name);
        if let Some(option) = self
            .options
            .keys()
            .find(|key| known().all(|name| name != key.as_str()))
        {
            return Err(PluginError::UnknownOption {
                plugin: self.name.clone(),
                option: option.clone(),
                near: nearest(option, known(), 2),
                known: known().map(str::to_owned).collect(),
            });
        }
        (entry.build)(self.options.clone())
    }

    /// The options with every default filled in, as `--dry-run` prints them.
    ///
    /// # Errors
    /// An unknown name.
    pub fn resolved(&self) -> Result<Table, PluginError> {
        let mut table = (find(&self.name)?.defaults)();
        table.extend(self.options.clone());
        Ok(table)
    }
}
