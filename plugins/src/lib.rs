//! Potstill plugins.
