//! Stops a run after its step, from another thread or a signal's handler.

use std::sync::{Arc, OnceLock};

/// A handle that stops a run after the step under way. Clones stop the same run.
///
/// ```
/// let interrupter = potstill_core::train::Interrupter::default();
/// assert_eq!(interrupter.reason(), None);
/// interrupter.clone().stop("Ctrl-C");
/// assert_eq!(interrupter.reason(), Some("Ctrl-C"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupter(Arc<OnceLock<String>>);

impl Interrupter {
    /// Asks for the stop; the first reason given is the one that is told.
    pub fn stop(&self, reason: impl Into<String>) {
        self.0.get_or_init(|| reason.into());
    }

    /// Why the run shall stop; `None` while nobody has asked for it.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
