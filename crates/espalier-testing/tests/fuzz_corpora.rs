//! The inputs that fuzzing kept, through the functions that it calls: what was found stays fixed,
//! without a nightly compiler.

use espalier_testing::fixtures::repository;
use espalier_testing::fuzz::{adapter, bundle, config, data, text, tokenizer, weights};
use std::fs;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = repository().join("fuzz/corpus").join(target);
    let inputs: Vec<_> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty(), "{} is empty", corpus.display());
    for input in inputs {
        // Shown when the test fails.
        println!("{}", input.display());
        run(&fs::read(&input).unwrap());
    }
}

#[test]
fn adapters() {
    replay("adapter", adapter::attach);
}

#[test]
fn bundles() {
    replay("bundle", bundle::open);
}

#[test]
fn configurations() {
    replay("config", config::read);
}

#[test]
fn records() {
    replay("data", data::read);
}

#[test]
fn texts() {
    text::prepare();
    replay("text", text::compare);
}

#[test]
fn tokenizers() {
    replay("tokenizer", tokenizer::read);
}

#[test]
fn weights() {
    replay("weights", weights::open);
}
