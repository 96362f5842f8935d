//! Evaluation: metrics, the comparison of strategies over tasks, and its report.
//!
//! - [`metrics`]: entity F1, accuracy, macro F1
//! - [`evaluate()`]: an adapter's scores on a task's examples
//! - [`compare()`]: strategies x tasks x seeds, each combination trained and scored in the same way
//! - [`grid`]: the study, which is a comparison of backbones x strategies x seeds x tasks x label
//!   fractions that can be interrupted, and split over machines
//! - [`quantize`]: packing a backbone in int8, provided that adapters keep their scores
//! - [`conflict`]: the layers in which the families' gradients conflict, and how many of the last
//!   layers should have adapters
//! - [`statistics`]: means and confidence intervals over seeds
//! - [`report`]: the result for people (HTML, plain text) and for scripts (JSON)

mod compare;
pub mod conflict;
mod evaluate;
pub mod grid;
pub mod metrics;
pub mod quantize;
pub mod report;
pub mod statistics;

pub use compare::{Cell, Comparison, ComparisonConfig, Event, Outcome, compare, family_scores};
pub use evaluate::{Scores, evaluate};

/// The instructions and threads that compute: the part of the machine that results depend on.
fn processor() -> String {
    let instructions = format!("{:?}", espalier_kernels::instruction_set()).to_lowercase();
    format!("{instructions}, {} threads", rayon::current_num_threads())
}

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
