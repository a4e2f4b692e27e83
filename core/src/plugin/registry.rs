//! The methods of this binary: each registers itself in its own file.

use indexmap::IndexMap;
use toml::Table;

use super::error::PluginError;
use super::hooks::Plugin;
use super::options::{Options, PluginOption};
use super::spec::PluginSpec;
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

/// A method's registration: data that `potstill plugins`, the documentation and the tests read.
#[derive(Clone, Copy, Debug)]
pub struct PluginEntry {
    /// The name that users write.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Where it was published.
    pub paper: Paper,
    /// Its options.
    pub options: fn() -> Vec<PluginOption>,
    /// Builds the method from the options that were given, all of them known.
    pub build: fn(Table) -> Result<Box<dyn Plugin>, PluginError>,
}

impl PluginEntry {
    /// The registration of a method that is its own configuration, declared with
    /// [`options!`](crate::options).
    pub const fn new<P: Options + Plugin + 'static>(summary: &'static str, paper: Paper) -> Self {
        Self {
            name: P::PLUGIN,
            summary,
            paper,
            options: P::declared,
            build: |options| Ok(Box::new(P::read(options)?)),
        }
    }

    /// Refuses an option that the method does not have.
    ///
    /// # Errors
    /// [`PluginError::UnknownOption`] with the nearest, and with all that it has.
    pub fn check_option(&self, option: &str) -> Result<(), PluginError> {
        let options = (self.options)();
        let known = || options.iter().map(|known| known.name.as_str());
        if known().any(|known| known == option) {
            return Ok(());
        }
        Err(PluginError::UnknownOption {
            plugin: self.name.to_owned(),
            option: option.to_owned(),
            near: nearest(option, known(), 2),
            known: known().map(str::to_owned).collect(),
        })
    }
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
        for option in self.options.keys() {
            entry.check_option(option)?;
        }
        (entry.build)(self.options.clone())
    }

    /// The options with every default filled in, as `--dry-run` prints them.
    ///
    /// # Errors
    /// An unknown name.
    pub fn resolved(&self) -> Result<Table, PluginError> {
        let options = (find(&self.name)?.options)();
        let defaults = options
            .into_iter()
            .filter_map(|option| Some((option.name, option.default?)));
        let mut table: Table = defaults.collect();
        table.extend(self.options.clone());
        Ok(table)
    }
}
