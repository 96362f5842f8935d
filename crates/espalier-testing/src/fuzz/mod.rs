//! What each fuzz target does with its input. libFuzzer calls it from `fuzz/fuzz_targets`;
//! `tests/fuzz_corpora.rs` calls it with the inputs that were kept.

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

pub use files::SEPARATOR;
