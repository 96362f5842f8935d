//! What each fuzz target does with its input. `crates/espalier-cli/tests/fuzz_corpora.rs` does the
//! same with the inputs that were kept.

pub mod adapter;
pub mod bundle;
#[cfg(feature = "train")]
pub mod config;
#[cfg(feature = "train")]
pub mod data;
mod encode;
mod files;
pub mod text;
pub mod tokenizer;
pub mod weights;
