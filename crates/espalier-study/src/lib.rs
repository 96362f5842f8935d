//! Proving it: metrics, the comparison of strategies over tasks, and its report.
//!
//! - [`metrics`]: entity F1, accuracy, macro F1
//! - [`evaluate()`]: an adapter's scores on a task's examples
//! - [`compare()`]: strategies x tasks x seeds, each cell trained and scored alike
//! - [`quantize`]: packing in bytes, provided that adapters keep their scores
//! - [`conflict`]: where the families' gradients conflict, and where adapters should start
//! - [`statistics`]: means and confidence intervals over seeds
//! - [`report`]: the result for people (HTML, plain text) and for scripts (JSON)

mod compare;
pub mod conflict;
mod evaluate;
pub mod metrics;
pub mod quantize;
pub mod report;
pub mod statistics;

pub use compare::{Cell, Comparison, ComparisonConfig, Event, Outcome, compare, family_headlines};
pub use evaluate::{Scores, evaluate};
