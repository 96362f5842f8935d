//! Architectures other than BERT: numbers, files, adapters and tokenizers.
//!
//! The recorded numbers are those of scripts/make_kin_fixtures.py.

mod adapters;
mod files;
mod numbers;
mod tokens;

use espalier_encoder::{Adapter, Backbone};
use espalier_testing::adapters::{peft_adapter, tags};
use espalier_testing::fixtures::fixture;
use espalier_testing::recorded::Recorded;
use tempfile::TempDir;

#[cfg(feature = "tokenizers")]
const NAMES: [&str; 3] = ["distilbert", "roberta", "mpnet"];
/// RoBERTa's tokenizer is left to the `tokenizers` library.
#[cfg(not(feature = "tokenizers"))]
const NAMES: [&str; 2] = ["distilbert", "mpnet"];

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
