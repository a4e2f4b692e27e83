//! Potstill core.
