//! The command line from outside: every subcommand except the demo, on a tiny random encoder, and
//! the errors for wrong input.

mod data;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(unix)]
mod fetching;
mod inference;
mod output;
mod pretraining;
mod refusals;
mod study;
mod tasks;
mod training;
mod workspace;
