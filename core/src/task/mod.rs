//! What is learnt: what a label is, which loss speaks for it, which metrics judge.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`classification`] | one class of several: cross-entropy, accuracy |
//! | [`cohort`] | the same for several students, each by itself and together |
//! | [`retrieval`] | pictures that are looked for instead of named: mean average precision, CMC |

pub mod classification;
pub mod cohort;
pub mod retrieval;

pub use classification::{Evaluation, evaluate};
pub use cohort::{CohortEvaluation, MemberEvaluation};
pub use retrieval::{Distance, Retrieval};
