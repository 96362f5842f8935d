//! BERT's kin: the numbers, files and tokenizers of the other architectures.
//!
//! The recorded numbers are those of scripts/make_kin_fixtures.py.

mod files;
mod numbers;
mod tokens;

use espalier_encoder::{Adapter, Backbone};
use espalier_testing::adapters::{peft_adapter, tags};
use espalier_testing::fixtures::fixture;
use espalier_testing::recorded::Recorded;
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

/// The token classifier that peft wrote, with an espalier.json.
fn classifier(name: &str, backbone: &Backbone) -> (TempDir, Adapter) {
    let directory = peft_adapter(&format!("kin/{name}/adapter"), backbone, tags(&["city"]));
    let adapter = Adapter::open(directory.path(), backbone).unwrap();
    (directory, adapter)
}
