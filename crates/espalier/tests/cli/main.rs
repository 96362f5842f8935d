//! The command line as a user meets it: every subcommand but the demo on a tiny random encoder, and what wrong input leads to.

mod data;
mod devices;
#[cfg(unix)]
mod fetching;
mod pretraining;
mod refusals;
mod tasks;
mod training;
mod workspace;
