//! Adapters as PEFT directories: what peft wrote is read, what is written is read back, what does not fit is refused.

mod common;

use common::raw::{RawTensor, RawTensors};
use common::{Recorded, assert_close, copy_of, edit_json, edit_tensors, fixture, refusal, tiny_bert};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Adapter, AdapterCard, Backbone, EncoderError, Family, Head, Lora, LoraConfig, Module, Output, Pooling,
};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const QUERY_A: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_A.weight";
const QUERY_B: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_B.weight";

fn card(backbone: &Backbone, output: Output) -> AdapterCard {
    AdapterCard {
        format: AdapterCard::FORMAT,
        family: Family::Ner,
        output,
        pooling: Pooling::Mean,
        backbone: backbone.fingerprint().to_string(),
        training: [("steps".to_string(), json!(200))].into(),
    }
}

fn tags(names: &[&str]) -> Output {
    Output::Tags { tags: names.iter().map(|name| name.to_string()).collect() }
}

fn labels(names: &[&str]) -> Output {
    Output::Labels { labels: names.iter().map(|name| name.to_string()).collect() }
}

fn five_tags() -> Output {
    tags(&["O", "B-city", "I-city", "B-food", "I-food"])
}

/// The token classifier that peft wrote, with an espalier.json beside it.
fn token_classifier(backbone: &Backbone) -> TempDir {
    let directory = copy_of("peft-token-cls");
    let card = serde_json::to_string(&card(backbone, five_tags())).unwrap();
    fs::write(directory.path().join("espalier.json"), card).unwrap();
    directory
}

/// Numbers from [-1, 1) without a pattern.
fn numbers() -> impl FnMut() -> f32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// An adapter whose factors are all different from zero.
fn adapter(backbone: &Backbone, specs: Vec<SiteSpec>, output: Output) -> Adapter {
    let (mut next, width) = (numbers(), backbone.encoder.width());
    let mut lora = Lora::zeros(&backbone.encoder.config, specs);
    lora.values.fill_with(&mut next);
    let head = output.classes().map(|classes| {
        let values = (0..classes * width + classes).map(|_| next()).collect();
        Head { classes, values }
    });
    Adapter { lora, head, card: card(backbone, output) }
}

fn site(layer: usize, module: Module, rank: usize, alpha: f32) -> SiteSpec {
    SiteSpec { layer, module, rank, alpha, rank_stabilized: false }
}

/// Adapters of every shape that the configuration file has to describe in its own way.
fn shapes(backbone: &Backbone) -> Vec<(&'static str, Adapter)> {
    let regular = |modules: &[Module]| {
        [1, 2].iter().flat_map(|&layer| modules.iter().map(move |&module| site(layer, module, 4, 8.0))).collect()
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
    let sentiment = || labels(&["good", "bad", "so-so"]);
    vec![
        ("vectors", adapter(backbone, regular(&Module::ALL), vectors())),
        ("tags", adapter(backbone, regular(&Module::ALL), five_tags())),
        ("labels", adapter(backbone, regular(&Module::ALL), sentiment())),
        ("irregular-vectors", adapter(backbone, irregular.clone(), vectors())),
        ("irregular-tags", adapter(backbone, irregular, five_tags())),
        ("patterns-vectors", adapter(backbone, patterns.clone(), vectors())),
        ("patterns-tags", adapter(backbone, patterns.clone(), five_tags())),
        ("patterns-labels", adapter(backbone, patterns, sentiment())),
        ("output-only-vectors", adapter(backbone, regular(&[Module::Output]), vectors())),
        ("output-only-tags", adapter(backbone, regular(&[Module::Output]), five_tags())),
        ("one-module", adapter(backbone, vec![site(0, Module::Key, 1, 1.0)], sentiment())),
        ("rank-stabilized", adapter(backbone, stabilized, five_tags())),
    ]
}

#[test]
fn a_token_classifier_of_peft_gives_the_recorded_logits() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let directory = token_classifier(&backbone);
    let adapter = Adapter::open(directory.path(), &backbone).unwrap();
    let specs: Vec<SiteSpec> = adapter.lora.sites.iter().map(|site| site.spec).collect();
    assert_eq!(specs, [site(2, Module::Query, 2, 4.0), site(2, Module::Value, 2, 4.0)]);
    let (mut logits, hidden) = (Vec::new(), backbone.model(Some(&adapter.lora)).encode(&recorded.batch()));
    adapter.head.unwrap().forward(&hidden, &mut logits);
    assert_close("peft_token_cls.logits", &logits, &recorded.tensors["peft_token_cls.logits"].f32s());
}

#[test]
fn what_is_written_is_read_back() {
    let backbone = tiny_bert();
    for (name, adapter) in shapes(&backbone) {
        let directory = TempDir::new().unwrap();
        let directory = directory.path().join("new").join(name);
        adapter.save(&directory).unwrap();
        assert_eq!(Adapter::open(&directory, &backbone).unwrap(), adapter, "{name}");
        assert_eq!(Adapter::open_lora(&directory, &backbone).unwrap(), adapter.lora, "{name}");
    }
}

/// peft's own files, read and written again: the same tensors by the same names.
#[test]
fn what_peft_wrote_is_written_with_the_same_names() {
    let backbone = tiny_bert();
    let (theirs, ours) = (token_classifier(&backbone), TempDir::new().unwrap());
    Adapter::open(theirs.path(), &backbone).unwrap().save(ours.path()).unwrap();
    let tensors = |directory: &Path| -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let tensors = common::raw::read(&directory.join(WEIGHTS)).into_iter();
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
        let config = common::read_json(&directory.path().join(CONFIG));
        let strings = |key: &str| -> Vec<String> { serde_json::from_value(config[key].clone()).unwrap() };
        let layers: Vec<usize> = serde_json::from_value(config["layers_to_transform"].clone()).unwrap();
        // peft's rule: the name ends with a target, and the layer is among layers_to_transform.
        let targeted = |&&(layer, module): &&(usize, Module)| {
            let full = format!("bert.encoder.layer.{layer}.{}", module.name());
            layers.contains(&layer) && strings("target_modules").iter().any(|end| full.ends_with(&format!(".{end}")))
        };
        let targeted: Vec<_> = encoder_modules.iter().filter(targeted).copied().collect();
        let adapted: Vec<_> = adapter.lora.sites.iter().map(|site| (site.spec.layer, site.spec.module)).collect();
        assert_eq!(targeted, adapted, "{name}");
    }
}

#[test]
fn scales_are_those_of_peft() {
    let backbone = tiny_bert();
    let scales = |edit: fn(&mut Value)| -> Vec<f32> {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), edit);
        let lora = Adapter::open_lora(directory.path(), &backbone).unwrap();
        lora.sites.iter().map(|site| site.spec.scale()).collect()
    };
    // Query and value have rank 2.
    assert_eq!(scales(|config| config["lora_alpha"] = json!(3)), [1.5, 1.5]);
    assert_eq!(scales(|config| config["use_rslora"] = json!(true)), [4.0 / 2f32.sqrt(); 2]);
    assert_eq!(scales(|config| config["alpha_pattern"] = json!({"query": 1.0})), [0.5, 2.0]);
    let full = |config: &mut Value| config["alpha_pattern"] = json!({"bert.encoder.layer.2.attention.self.value": 10});
    assert_eq!(scales(full), [2.0, 5.0]);
    // A pattern matches whole parts of a name: this is the end of "query", but not a part.
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
    let config = LoraConfig { layers: 2, modules: Module::ALL.to_vec(), rank: 3, alpha: 6.0 };
    let lora = Lora::fresh(&backbone.encoder.config, &config, numbers());
    assert!(lora.values.iter().any(|&value| value != 0.0));
    assert_eq!(backbone.model(Some(&lora)).encode(&batch), backbone.model(None).encode(&batch));
}

#[test]
fn options_that_change_the_mathematics_are_refused() {
    let backbone = tiny_bert();
    for (key, value, message) in [
        ("use_dora", json!(true), "use_dora"),
        ("bias", json!("lora_only"), "bias"),
        ("bias", json!("all"), "bias"),
        ("lora_bias", json!(true), "lora_bias"),
        ("fan_in_fan_out", json!(true), "fan_in_fan_out"),
        ("peft_type", json!("IA3"), "\"IA3\""),
        ("alpha_pattern", json!({"layer.[01].*": 4.0}), "layer.[01].*"),
    ] {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), |config| config[key] = value);
        let error = refusal(Adapter::open(directory.path(), &backbone), &[CONFIG, message, "support"]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
        refusal(Adapter::open_lora(directory.path(), &backbone), &[message]);
    }
    for (key, value) in [("lora_alpha", json!("much")), ("peft_type", Value::Null), ("r", json!(-1))] {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), |config| config[key] = value);
        let error = refusal(Adapter::open(directory.path(), &backbone), &[CONFIG]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// Opens peft's token classifier with its weights changed.
fn with_tensors(edit: impl FnOnce(&mut RawTensors)) -> Result<Adapter, EncoderError> {
    let backbone = tiny_bert();
    let directory = token_classifier(&backbone);
    edit_tensors(&directory.path().join(WEIGHTS), edit);
    Adapter::open(directory.path(), &backbone)
}

/// Moves a tensor to another name.
fn rename(tensors: &mut RawTensors, from: &str, to: &str) {
    let tensor = tensors.remove(from).unwrap();
    tensors.insert(to.to_string(), tensor);
}

#[test]
fn tensors_that_nothing_is_known_about_are_refused() {
    for name in [
        "base_model.model.bert.encoder.layer.2.attention.self.query.lora_magnitude_vector",
        "base_model.model.bert.encoder.layer.2.attention.self.query.base_layer.bias",
        "base_model.model.bert.embeddings.word_embeddings.lora_embedding_A",
        "base_model.model.classifier.out_proj.weight",
        "classifier.weight",
        "bert.encoder.layer.2.attention.self.query.lora_A.weight",
        "",
    ] {
        let error = with_tensors(|tensors| drop(tensors.insert(name.into(), RawTensor::f32(&[1], &[0.0]))));
        let error = refusal(error, &[WEIGHTS, &format!("{name:?}")]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
}

#[test]
fn modules_beyond_the_encoder_are_refused() {
    for module in [
        "bert.encoder.layer.3.attention.self.query",
        "bert.encoder.layer.18446744073709551616.attention.self.query",
        "bert.encoder.layer.-1.attention.self.query",
        "bert.encoder.layer.2.attention.self.pooler",
        "bert.pooler.dense",
        "roberta.encoder.layer.2.attention.self.query",
    ] {
        let error = with_tensors(|tensors| {
            rename(tensors, QUERY_A, &format!("base_model.model.{module}.lora_A.weight"));
            rename(tensors, QUERY_B, &format!("base_model.model.{module}.lora_B.weight"));
        });
        let error = refusal(error, &[WEIGHTS, module, "module that this encoder does not have"]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
}

#[test]
fn missing_halves_are_named() {
    let head = "base_model.model.classifier";
    for name in [QUERY_A, QUERY_B, &format!("{head}.weight"), &format!("{head}.bias")] {
        let error = refusal(with_tensors(|tensors| drop(tensors.remove(name).unwrap())), &[WEIGHTS, name, "missing"]);
        assert!(matches!(error, EncoderError::Adapter { .. } | EncoderError::MissingTensor { .. }), "{error}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let classifier = "base_model.model.classifier.weight";
    for (name, shape) in [
        (QUERY_A, [2, 33].as_slice()), // another width
        (QUERY_A, &[3, 32]),           // A and B of different rank
        (QUERY_A, &[64]),
        (QUERY_A, &[2, 32, 1]),
        (QUERY_B, &[33, 2]),
        (QUERY_B, &[2, 32]),
        (classifier, &[5, 31]),
        (classifier, &[4, 32]), // fewer rows than biases
    ] {
        let error = with_tensors(|tensors| drop(tensors.insert(name.into(), RawTensor::zeros(Dtype::F32, shape))));
        let error = refusal(error, &[WEIGHTS, "shape"]);
        assert!(matches!(error, EncoderError::TensorShape { .. }), "{error}");
    }
    for (name, shape) in [(QUERY_A, [0, 32].as_slice()), (QUERY_A, &[]), (classifier, &[0, 32])] {
        let error = with_tensors(|tensors| drop(tensors.insert(name.into(), RawTensor::zeros(Dtype::F32, shape))));
        let error = refusal(error, &[WEIGHTS, name]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
    let error = with_tensors(|tensors| drop(tensors.insert(QUERY_A.into(), RawTensor::zeros(Dtype::I32, &[2, 32]))));
    assert!(matches!(refusal(error, &[WEIGHTS, QUERY_A, "I32"]), EncoderError::TensorType { .. }));
}

#[test]
fn half_an_adapter_is_refused() {
    let backbone = tiny_bert();
    for file in [CONFIG, WEIGHTS] {
        let directory = token_classifier(&backbone);
        let path = directory.path().join(file);
        let bytes = fs::read(&path).unwrap();
        for length in (0..bytes.len() - 1).step_by(97) {
            fs::write(&path, &bytes[..length]).unwrap();
            refusal(Adapter::open(directory.path(), &backbone), &[file]);
        }
        fs::remove_file(&path).unwrap();
        let error = refusal(Adapter::open(directory.path(), &backbone), &[file]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

#[test]
fn an_adapter_without_a_card_is_refused() {
    let backbone = tiny_bert();
    let error = refusal(Adapter::open(&fixture("peft-token-cls"), &backbone), &["no espalier.json", "docs/formats.md"]);
    assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
}

#[test]
fn an_adapter_of_another_backbone_is_refused() {
    let backbone = tiny_bert();
    let other = backbone.with_weights(vec![0.5; backbone.weights().len()]);
    let directory = token_classifier(&backbone);
    let error = refusal(
        Adapter::open(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint(), "use that backbone"],
    );
    assert!(matches!(error, EncoderError::WrongBackbone { .. }), "{error}");
    refusal(Adapter::open_lora(directory.path(), &other), &[backbone.fingerprint(), other.fingerprint()]);
}

#[test]
fn cards_that_do_not_fit_the_weights_are_refused() {
    let backbone = tiny_bert();
    let edits: [(fn(&mut Value), &[&str]); 8] = [
        (|card| card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a"]}), &["3 classes", "5 classes"]),
        (|card| card["output"] = json!({"kind": "labels", "labels": []}), &["0 classes", "5 classes"]),
        (|card| card["output"] = json!({"kind": "vectors"}), &["no head", "5 classes"]),
        (
            |card| card["output"] = json!({"kind": "labels", "labels": ["a", "b", "a", "c", "d"]}),
            &["espalier.json", "\"a\" is listed twice"],
        ),
        (
            |card| card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "B-b", "B-a"]}),
            &["espalier.json", "\"B-a\""],
        ),
        (
            |card| card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "LABEL_3", "I-b"]}),
            &["espalier.json", "\"LABEL_3\""],
        ),
        (
            |card| card["output"] = json!({"kind": "tags", "tags": ["B-c", "B-a", "I-a", "B-b", "I-b"]}),
            &["espalier.json", "O"],
        ),
        (|card| card["format"] = json!(2), &["espalier.json", "format 2"]),
    ];
    for (edit, message) in edits {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = refusal(Adapter::open(directory.path(), &backbone), message);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
    let unreadable: [fn(&mut Value); 4] = [
        |card| card["family"] = json!("pos"),
        |card| card["output"] = json!({"kind": "spans"}),
        |card| card["pooling"] = json!("max"),
        |card| drop(card.as_object_mut().unwrap().remove("backbone")),
    ];
    for edit in unreadable {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = refusal(Adapter::open(directory.path(), &backbone), &["espalier.json"]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}
