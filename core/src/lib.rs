//! Potstill core.

pub mod data;
