//! Potstill teachers.
