//! The program as its users meet it: the built binary in a fresh folder, judged by its exit code,
//! its output and what it leaves.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod arrays;
mod cohorts;
mod deploying;
mod distilling;
mod exporting;
mod faults;
mod improvement;
mod interruption;
mod listings;
mod market;
mod methods;
#[path = "../potstill/mod.rs"]
mod potstill;
mod recipes;
mod reference;
mod refusals;
mod refused_data;
mod refused_files;
mod repetition;
mod reporting;
mod several_teachers;
mod students_from_files;
mod students_of_others;
mod sweeping;
mod teacher_cache;
mod whitening;
