//! The command line as a user meets it: every subcommand but the demo on a tiny random encoder, and
//! what wrong input leads to.

mod data;
mod devices;
mod escapes;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(unix)]
mod fetching;
mod pretraining;
mod refusals;
#[cfg(target_os = "linux")]
#[path = "../common/same.rs"]
mod same;
#[cfg(target_os = "linux")]
mod streams;
mod tasks;
mod training;
mod workspace;
