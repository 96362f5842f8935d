//! Adapters for tests: peft's own, and cards to put beside it.

use super::copy_of;
use espalier_encoder::{AdapterCard, Backbone, Family, Output, Pooling};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

pub const CONFIG: &str = "adapter_config.json";
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// A change to a JSON file.
pub type Edit = fn(&mut Value);

pub fn card(backbone: &Backbone, output: Output) -> AdapterCard {
    AdapterCard {
        format: AdapterCard::FORMAT,
        family: Family::Ner,
        output,
        pooling: Pooling::Mean,
        backbone: backbone.fingerprint().to_string(),
        training: [("steps".to_string(), json!(200))].into(),
    }
}

pub fn labels(names: &[&str]) -> Output {
    Output::Labels { labels: names.iter().map(|name| name.to_string()).collect() }
}

pub fn five_tags() -> Output {
    Output::Tags { tags: ["O", "B-city", "I-city", "B-food", "I-food"].map(String::from).to_vec() }
}

/// The token classifier that peft wrote, with an espalier.json beside it.
pub fn token_classifier(backbone: &Backbone) -> TempDir {
    let directory = copy_of("peft-token-cls");
    let card = serde_json::to_string(&card(backbone, five_tags())).unwrap();
    fs::write(directory.path().join("espalier.json"), card).unwrap();
    directory
}
