//! The inputs that fuzzing kept, through the functions that it calls: what was found stays fixed,
//! without a nightly compiler.

#[path = "../../../fuzz/src/adapter.rs"]
mod adapter;
#[path = "../../../fuzz/src/bundle.rs"]
mod bundle;
#[path = "../../../fuzz/src/config.rs"]
mod config;
#[path = "../../../fuzz/src/data.rs"]
mod data;
#[path = "../../../fuzz/src/encode.rs"]
mod encode;
#[path = "../../../fuzz/src/files.rs"]
mod files;
#[path = "../../../fuzz/src/text.rs"]
mod text;
#[path = "../../../fuzz/src/tokenizer.rs"]
mod tokenizer;
#[path = "../../../fuzz/src/weights.rs"]
mod weights;

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
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
