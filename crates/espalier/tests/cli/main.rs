//! The command line as a user meets it: every subcommand but the demo on a tiny random encoder, and what wrong input leads to.

mod data;
mod devices;
#[cfg(target_os = "linux")]
mod faults;
mod pretraining;
mod refusals;
#[cfg(target_os = "linux")]
#[path = "../common/same.rs"]
mod same;
mod tasks;
mod training;
mod workspace;
