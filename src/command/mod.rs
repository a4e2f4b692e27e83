//! The subcommands, one file each: its arguments, what it does with the library, what it prints.

pub mod bench;
pub mod check;
pub mod completions;
pub mod devices;
pub mod distill;
pub mod eval;
pub mod export;
pub mod inspect;
pub mod models;
pub mod plugins;
pub mod prune;
pub mod run;
pub mod teachers;
