//! Adapters: those that peft wrote, and random ones.

use crate::fixtures::copy_of;
use crate::random::Random;
use espalier_encoder::{
    Adapter, AdapterCard, Family, Head, Lora, LoraConfig, Module, Output, Pooling, TextEncoder,
};
use serde_json::json;
use std::fs;
use tempfile::TempDir;

/// peft's file with the configuration of an adapter.
pub const CONFIG: &str = "adapter_config.json";
/// peft's file with the weights of an adapter.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// A card for an adapter of this backbone.
pub fn card(backbone: &TextEncoder, output: Output) -> AdapterCard {
    AdapterCard {
        format: AdapterCard::FORMAT,
        family: if matches!(output, Output::Tags { .. }) { Family::Ner } else { Family::Tc },
        output,
        pooling: Pooling::Mean,
        backbone: backbone.fingerprint().to_string(),
        training: [("steps".to_string(), json!(200))].into(),
    }
}

/// A head that gives one of these labels to a text.
pub fn labels(names: &[&str]) -> Output {
    Output::Labels { labels: names.iter().map(|name| name.to_string()).collect() }
}

/// A head that tags entities of these types: O, and B- and I- of each.
pub fn tags(types: &[&str]) -> Output {
    let tags = types.iter().flat_map(|name| [format!("B-{name}"), format!("I-{name}")]);
    Output::Tags { tags: std::iter::once("O".to_string()).chain(tags).collect() }
}

/// A copy of an adapter that peft wrote, together with an espalier.json.
pub fn peft_adapter(name: &str, backbone: &TextEncoder, output: Output) -> TempDir {
    let directory = copy_of(name);
    let card = serde_json::to_string(&card(backbone, output)).unwrap();
    fs::write(directory.path().join("espalier.json"), card).unwrap();
    directory
}

/// The token classifier that peft wrote for the tiny BERT, with five tags.
pub fn token_classifier(backbone: &TextEncoder) -> TempDir {
    peft_adapter("peft-token-cls", backbone, tags(&["city", "food"]))
}

/// A LoRA of rank 2 on two modules of the last layers, all of its values random.
pub fn random_lora(backbone: &TextEncoder, layers: usize, seed: u64) -> Lora {
    let modules = vec![Module::Value, Module::Intermediate];
    let shape = LoraConfig::for_layers(3).with_layers(layers).with_modules(modules);
    random_lora_of(backbone, &shape.with_rank(2).with_alpha(2.0), seed)
}

/// A LoRA of this shape, all of its values random.
pub fn random_lora_of(backbone: &TextEncoder, shape: &LoraConfig, seed: u64) -> Lora {
    let mut random = Random::new(seed);
    let mut lora = Lora::random_init(&backbone.encoder.config, shape, || 0.0);
    lora.values.fill_with(|| 0.3 * random.number());
    lora
}

/// A head that gives class `class` to every vector.
pub fn constant_head(width: usize, classes: usize, class: usize) -> Head {
    let mut values = vec![0.0; width * classes + classes];
    values[width * classes + class] = 20.0;
    Head { classes, values }
}

/// An adapter with a random head, or with none for vectors.
pub fn random_adapter(backbone: &TextEncoder, lora: Lora, output: Output, seed: u64) -> Adapter {
    let (mut random, width) = (Random::new(seed), backbone.encoder.width());
    let head = output.classes().map(|n| Head::random_init(width, n, || 3.0 * random.number()));
    adapter(backbone, lora, head, output)
}

/// An adapter of these parts.
pub fn adapter(backbone: &TextEncoder, lora: Lora, head: Option<Head>, output: Output) -> Adapter {
    Adapter { lora, head, card: card(backbone, output) }
}

/// The directory of an adapter.
pub fn saved(adapter: &Adapter) -> TempDir {
    let directory = TempDir::new().unwrap();
    adapter.save(directory.path()).unwrap();
    directory
}
