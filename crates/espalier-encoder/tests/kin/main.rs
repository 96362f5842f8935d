//! BERT's kin: the numbers, files and tokenizers of the other architectures.
//!
//! The recorded numbers are those of scripts/make_kin_fixtures.py.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod numbers;
#[path = "../common/step.rs"]
mod step;
mod tokens;

use common::adapters::card;
use common::{Recorded, copy_of, fixture};
use espalier_encoder::{Adapter, Backbone, Output};
use std::fs;
use tempfile::TempDir;

#[cfg(feature = "tokenizers")]
const KIN: [&str; 3] = ["distilbert", "roberta", "mpnet"];
/// RoBERTa's tokenizer is not one of our own.
#[cfg(not(feature = "tokenizers"))]
const KIN: [&str; 2] = ["distilbert", "mpnet"];

fn backbone(name: &str) -> Backbone {
    Backbone::open(&fixture(&format!("kin/{name}/model"))).unwrap()
}

fn recorded(name: &str) -> Recorded {
    Recorded::at(&fixture(&format!("kin/{name}")))
}

/// The token classifier that peft wrote, with an espalier.json beside it.
fn classifier(name: &str, backbone: &Backbone) -> (TempDir, Adapter) {
    let directory = copy_of(&format!("kin/{name}/adapter"));
    let tags = Output::Tags { tags: ["O", "B-city", "I-city"].map(String::from).to_vec() };
    let card = serde_json::to_string(&card(backbone, tags)).unwrap();
    fs::write(directory.path().join("espalier.json"), card).unwrap();
    let adapter = Adapter::open(directory.path(), backbone).unwrap();
    (directory, adapter)
}
