//! Adapters as PEFT directories: those that peft wrote are read; those that are saved open again.

use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{Adapter, Architecture, Backbone, Head, Lora, LoraConfig, Module, Output};
use espalier_testing::adapters::{CONFIG, WEIGHTS, card, labels, tags, token_classifier};
use espalier_testing::compare::assert_close;
use espalier_testing::fixtures::{Edit, edit_json, fixture, read_json, tiny_bert};
use espalier_testing::random::Random;
use espalier_testing::recorded::Recorded;
use espalier_testing::tensors;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// An adapter whose factors are all different from zero.
fn adapter(backbone: &Backbone, specs: Vec<SiteSpec>, output: Output) -> Adapter {
    let (mut random, width) = (Random::new(1), backbone.encoder.width());
    let mut lora = Lora::zeros(&backbone.encoder.config, specs);
    lora.values.fill_with(|| random.number());
    let head = output
        .classes()
        .map(|classes| Head { classes, values: random.vec(classes * width + classes) });
    Adapter { lora, head, card: card(backbone, output) }
}

fn site(layer: usize, module: Module, rank: usize, alpha: f32) -> SiteSpec {
    SiteSpec { layer, module, rank, alpha, rank_stabilized: false }
}

/// Adapters of every shape that the configuration file describes differently.
fn shapes(backbone: &Backbone) -> Vec<(&'static str, Adapter)> {
    let regular = |modules: &[Module]| {
        [1, 2]
            .iter()
            .flat_map(|&layer| modules.iter().map(move |&module| site(layer, module, 4, 8.0)))
            .collect()
    };
    let irregular = vec![
        site(0, Module::Output, 4, 8.0),
        site(1, Module::Query, 4, 8.0),
        site(1, Module::Output, 4, 8.0),
        site(2, Module::AttentionOutput, 4, 8.0),
        site(2, Module::Intermediate, 4, 8.0),
    ];
    let patterns = vec![
        site(1, Module::Query, 4, 8.0),
        site(1, Module::AttentionOutput, 2, 8.0),
        site(1, Module::Output, 3, 0.1),
        site(2, Module::Query, 1, 16.0),
        site(2, Module::AttentionOutput, 4, 2.5),
        site(2, Module::Output, 4, 8.0),
    ];
    let stabilized = [site(1, Module::Value, 4, 8.0), site(2, Module::Value, 4, 8.0)];
    let stabilized = stabilized.map(|spec| SiteSpec { rank_stabilized: true, ..spec }).to_vec();
    let vectors = || Output::Vectors;
    let five = || tags(&["city", "food"]);
    let sentiment = || labels(&["good", "bad", "so-so"]);
    vec![
        ("vectors", adapter(backbone, regular(&Module::ALL), vectors())),
        ("tags", adapter(backbone, regular(&Module::ALL), five())),
        ("labels", adapter(backbone, regular(&Module::ALL), sentiment())),
        ("irregular-vectors", adapter(backbone, irregular.clone(), vectors())),
        ("irregular-tags", adapter(backbone, irregular, five())),
        ("patterns-vectors", adapter(backbone, patterns.clone(), vectors())),
        ("patterns-tags", adapter(backbone, patterns.clone(), five())),
        ("patterns-labels", adapter(backbone, patterns, sentiment())),
        ("output-only-vectors", adapter(backbone, regular(&[Module::Output]), vectors())),
        ("output-only-tags", adapter(backbone, regular(&[Module::Output]), five())),
        ("one-module", adapter(backbone, vec![site(0, Module::Key, 1, 1.0)], sentiment())),
        ("rank-stabilized", adapter(backbone, stabilized, five())),
    ]
}

#[test]
fn a_token_classifier_of_peft_gives_the_recorded_logits() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let directory = token_classifier(&backbone);
    let adapter = Adapter::open(directory.path(), &backbone).unwrap();
    let specs: Vec<SiteSpec> = adapter.lora.sites.iter().map(|site| site.spec).collect();
    assert_eq!(specs, [site(2, Module::Query, 2, 4.0), site(2, Module::Value, 2, 4.0)]);
    let (mut logits, hidden) =
        (Vec::new(), backbone.model(Some(&adapter.lora)).encode(&recorded.batch()));
    adapter.head.unwrap().forward(&hidden, &mut logits);
    assert_close(
        "peft_token_cls.logits",
        &logits,
        &recorded.tensors["peft_token_cls.logits"].f32s(),
    );
}

#[test]
fn saved_adapters_open_again() {
    let backbone = tiny_bert();
    for (name, adapter) in shapes(&backbone) {
        let directory = TempDir::new().unwrap();
        let directory = directory.path().join("new").join(name);
        adapter.save(&directory).unwrap();
        assert_eq!(Adapter::open(&directory, &backbone).unwrap(), adapter, "{name}");
        assert_eq!(Adapter::open_lora(&directory, &backbone).unwrap(), adapter.lora, "{name}");
    }
}

/// peft's own files, opened and saved again: the same tensors under the same names.
#[test]
fn saving_what_peft_wrote_keeps_the_names() {
    let backbone = tiny_bert();
    let (theirs, ours) = (token_classifier(&backbone), TempDir::new().unwrap());
    Adapter::open(theirs.path(), &backbone).unwrap().save(ours.path()).unwrap();
    let tensors = |directory: &Path| -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let tensors = tensors::read(&directory.join(WEIGHTS)).into_iter();
        tensors.map(|(name, tensor)| (name, tensor.shape, tensor.bytes)).collect()
    };
    assert_eq!(tensors(ours.path()), tensors(theirs.path()));
}

/// `output.dense` is also the end of `attention.output.dense`: peft would adapt both.
#[test]
fn targets_name_no_module_that_is_not_adapted() {
    let backbone = tiny_bert();
    let encoder_modules = (0..3).flat_map(|layer| Module::ALL.map(|module| (layer, module)));
    let encoder_modules: Vec<_> = encoder_modules.collect();
    for (name, adapter) in shapes(&backbone) {
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        let config = read_json(&directory.path().join(CONFIG));
        let strings =
            |key: &str| -> Vec<String> { serde_json::from_value(config[key].clone()).unwrap() };
        let layers: Vec<usize> =
            serde_json::from_value(config["layers_to_transform"].clone()).unwrap();
        // peft's rule: the name ends with a target, and the layer is among layers_to_transform.
        let targeted = |&&(layer, module): &&(usize, Module)| {
            let full = format!("bert.{}", Architecture::BERT.module_name(layer, module));
            layers.contains(&layer)
                && strings("target_modules").iter().any(|end| full.ends_with(&format!(".{end}")))
        };
        let targeted: Vec<_> = encoder_modules.iter().filter(targeted).copied().collect();
        let adapted: Vec<_> =
            adapter.lora.sites.iter().map(|site| (site.spec.layer, site.spec.module)).collect();
        assert_eq!(targeted, adapted, "{name}");
    }
}

#[test]
fn scales_are_those_of_peft() {
    let backbone = tiny_bert();
    let scales = |edit: Edit| -> Vec<f32> {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), edit);
        let lora = Adapter::open_lora(directory.path(), &backbone).unwrap();
        lora.sites.iter().map(|site| site.spec.scale()).collect()
    };
    // Query and value have rank 2.
    assert_eq!(scales(|config| config["lora_alpha"] = json!(3)), [1.5, 1.5]);
    assert_eq!(scales(|config| config["use_rslora"] = json!(true)), [4.0 / 2f32.sqrt(); 2]);
    assert_eq!(scales(|config| config["alpha_pattern"] = json!({"query": 1.0})), [0.5, 2.0]);
    let full = |config: &mut Value| {
        config["alpha_pattern"] = json!({"bert.encoder.layer.2.attention.self.value": 10})
    };
    assert_eq!(scales(full), [2.0, 5.0]);
    // A pattern matches complete parts of a name: this is the end of "query", not a part.
    assert_eq!(scales(|config| config["alpha_pattern"] = json!({"uery": 1.0})), [2.0, 2.0]);
}

#[test]
fn the_lora_alone_needs_no_card() {
    let backbone = tiny_bert();
    let lora = Adapter::open_lora(&fixture("peft-token-cls"), &backbone).unwrap();
    assert_eq!(lora, Adapter::open(token_classifier(&backbone).path(), &backbone).unwrap().lora);
}

#[test]
fn a_fresh_adapter_changes_nothing_until_it_is_trained() {
    let (backbone, batch) = (tiny_bert(), Recorded::read().batch());
    let config = LoraConfig::for_layers(6).with_rank(3).with_alpha(6.0);
    let mut random = Random::new(1);
    let lora = Lora::random_init(&backbone.encoder.config, &config, || random.number());
    assert!(lora.values.iter().any(|&value| value != 0.0));
    assert_eq!(backbone.model(Some(&lora)).encode(&batch), backbone.model(None).encode(&batch));
}

#[test]
fn rounded_numbers_are_stored_in_half_the_space_and_others_unchanged() {
    let backbone = tiny_bert();
    let (_, mut adapter) = shapes(&backbone).swap_remove(1);
    let directory = TempDir::new().unwrap();
    let stored = |adapter: &Adapter| {
        adapter.save(directory.path()).unwrap();
        assert_eq!(&Adapter::open(directory.path(), &backbone).unwrap(), adapter);
        std::fs::read(directory.path().join(WEIGHTS)).unwrap()
    };
    let exact = stored(&adapter);
    adapter.round();
    let rounded = stored(&adapter);
    let data =
        |file: &[u8]| file.len() - 8 - u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    assert_eq!(data(&exact), 2 * data(&rounded));
}
