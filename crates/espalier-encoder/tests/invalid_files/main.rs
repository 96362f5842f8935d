//! Files that are missing, incomplete, damaged or hostile: a typed error that says what is wrong
//! and where, never a panic.

mod adapter_cards;
mod adapter_weights;
mod config;
mod packed;
mod paths;
mod pooling;
mod tokenizer;
mod weights;

use espalier_encoder::{Backbone, EncoderError};
use espalier_testing::fixtures::copy_of;
use std::fs;

/// Opens the tiny BERT with a file overwritten.
fn with_file(name: &str, bytes: &[u8]) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    fs::write(directory.path().join(name), bytes).unwrap();
    Backbone::open(directory.path())
}
