//! Potstill exporters.
