//! Adapters that are damaged, foreign or beyond this engine: a typed error that says what and
//! where.

use espalier_encoder::{Adapter, Backbone, EncoderError, Head, Lora, LoraConfig};
use espalier_testing::adapters::{CONFIG, WEIGHTS, card, labels, token_classifier};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{Edit, edit_json, fixture, tiny_bert};
use espalier_testing::tensors::{self, RawTensor, RawTensors};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const QUERY_A: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_A.weight";
const QUERY_B: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_B.weight";

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
        let error =
            expect_error(Adapter::open(directory.path(), &backbone), &[CONFIG, message, "support"]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
        expect_error(Adapter::open_lora(directory.path(), &backbone), &[message]);
    }
    for (key, value) in
        [("lora_alpha", json!("much")), ("peft_type", Value::Null), ("r", json!(-1))]
    {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), |config| config[key] = value);
        let error = expect_error(Adapter::open(directory.path(), &backbone), &[CONFIG]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// Opens peft's token classifier with its weights changed.
fn with_tensors(edit: impl FnOnce(&mut RawTensors)) -> Result<Adapter, EncoderError> {
    let backbone = tiny_bert();
    let directory = token_classifier(&backbone);
    tensors::edit(&directory.path().join(WEIGHTS), edit);
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
        let error =
            with_tensors(|tensors| drop(tensors.insert(name.into(), RawTensor::f32(&[1], &[0.0]))));
        let error = expect_error(error, &[WEIGHTS, &format!("{name:?}")]);
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
        let error =
            expect_error(error, &[WEIGHTS, module, "module that this encoder does not have"]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
}

#[test]
fn missing_halves_are_named() {
    let head = "base_model.model.classifier";
    for name in [QUERY_A, QUERY_B, &format!("{head}.weight"), &format!("{head}.bias")] {
        let error = expect_error(
            with_tensors(|tensors| drop(tensors.remove(name).unwrap())),
            &[WEIGHTS, name, "missing"],
        );
        assert!(
            matches!(error, EncoderError::Adapter { .. } | EncoderError::MissingTensor { .. }),
            "{error}"
        );
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
        let error = with_tensors(|tensors| {
            drop(tensors.insert(name.into(), RawTensor::zeros(Dtype::F32, shape)))
        });
        let error = expect_error(error, &[WEIGHTS, "shape"]);
        assert!(matches!(error, EncoderError::TensorShape { .. }), "{error}");
    }
    for (name, shape) in [(QUERY_A, [0, 32].as_slice()), (QUERY_A, &[]), (classifier, &[0, 32])] {
        let error = with_tensors(|tensors| {
            drop(tensors.insert(name.into(), RawTensor::zeros(Dtype::F32, shape)))
        });
        let error = expect_error(error, &[WEIGHTS, name]);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
    let error = with_tensors(|tensors| {
        drop(tensors.insert(QUERY_A.into(), RawTensor::zeros(Dtype::I32, &[2, 32])))
    });
    assert!(matches!(
        expect_error(error, &[WEIGHTS, QUERY_A, "I32"]),
        EncoderError::TensorType { .. }
    ));
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
            expect_error(Adapter::open(directory.path(), &backbone), &[file]);
        }
        fs::remove_file(&path).unwrap();
        let error = expect_error(Adapter::open(directory.path(), &backbone), &[file]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

#[test]
fn where_nothing_is_nothing_is_said_to_be_missing() {
    let nowhere = Path::new("nowhere");
    for result in
        [Adapter::open(nowhere, &tiny_bert()).map(drop), Backbone::open(nowhere).map(drop)]
    {
        let error = expect_error(result, &["nowhere: "]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

#[test]
fn an_adapter_without_a_card_is_refused() {
    let backbone = tiny_bert();
    let error = expect_error(
        Adapter::open(&fixture("peft-token-cls"), &backbone),
        &["no espalier.json", "docs/formats.md"],
    );
    assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
}

#[test]
fn an_adapter_of_another_backbone_is_refused() {
    let backbone = tiny_bert();
    let other = backbone.with_weights(vec![0.5; backbone.weights().len()]);
    let directory = token_classifier(&backbone);
    let error = expect_error(
        Adapter::open(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint(), "use that backbone"],
    );
    assert!(matches!(error, EncoderError::WrongBackbone { .. }), "{error}");
    expect_error(
        Adapter::open_lora(directory.path(), &other),
        &[backbone.fingerprint(), other.fingerprint()],
    );
}

#[test]
fn cards_that_do_not_fit_the_weights_are_refused() {
    let backbone = tiny_bert();
    let edits: [(Edit, &[&str]); 8] = [
        (
            |card| card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a"]}),
            &["3 classes", "5 classes"],
        ),
        (
            |card| card["output"] = json!({"kind": "labels", "labels": []}),
            &["0 classes", "5 classes"],
        ),
        (|card| card["output"] = json!({"kind": "vectors"}), &["no head", "5 classes"]),
        (
            |card| card["output"] = json!({"kind": "labels", "labels": ["a", "b", "a", "c", "d"]}),
            &["espalier.json", "\"a\" is listed twice"],
        ),
        (
            |card| {
                card["output"] = json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "B-b", "B-a"]})
            },
            &["espalier.json", "\"B-a\""],
        ),
        (
            |card| {
                card["output"] =
                    json!({"kind": "tags", "tags": ["O", "B-a", "I-a", "LABEL_3", "I-b"]})
            },
            &["espalier.json", "\"LABEL_3\""],
        ),
        (
            |card| {
                card["output"] =
                    json!({"kind": "tags", "tags": ["B-c", "B-a", "I-a", "B-b", "I-b"]})
            },
            &["espalier.json", "O"],
        ),
        (|card| card["format"] = json!(2), &["espalier.json", "format 2"]),
    ];
    for (edit, message) in edits {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = expect_error(Adapter::open(directory.path(), &backbone), message);
        assert!(matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
    let unreadable: [Edit; 4] = [
        |card| card["family"] = json!("pos"),
        |card| card["output"] = json!({"kind": "spans"}),
        |card| card["pooling"] = json!("max"),
        |card| drop(card.as_object_mut().unwrap().remove("backbone")),
    ];
    for edit in unreadable {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join("espalier.json"), edit);
        let error = expect_error(Adapter::open(directory.path(), &backbone), &["espalier.json"]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// An adapter on all of the tiny BERT's modules, every number of which is `value`.
fn constant(backbone: &Backbone, value: f32) -> Adapter {
    let config = &backbone.encoder.config;
    let shape = LoraConfig::for_layers(3).with_rank(2).with_alpha(4.0);
    let mut lora = Lora::random_init(config, &shape, || 0.0);
    lora.values.fill(value);
    let head = Head::random_init(config.hidden_size, 2, || value);
    let names = [format!("yes to {value}"), format!("no to {value}")];
    Adapter { lora, head: Some(head), card: card(backbone, labels(&[&names[0], &names[1]])) }
}

#[test]
fn files_of_two_adapters_are_refused_and_old_and_edited_cards_are_read() {
    let backbone = tiny_bert();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    constant(&backbone, 1.0).save(one.path()).unwrap();
    constant(&backbone, 2.0).save(two.path()).unwrap();
    let at = |name: &str| one.path().join(name);
    for name in [WEIGHTS, CONFIG] {
        let own = fs::read(at(name)).unwrap();
        let mut altered = own.clone();
        *altered.last_mut().unwrap() ^= 1;
        let other = fs::read(two.path().join(name)).unwrap();
        for bytes in [altered, own[..own.len() / 2].to_vec()]
            .into_iter()
            .chain((other != own).then_some(other))
        {
            fs::write(at(name), bytes).unwrap();
            for result in [
                Adapter::open(one.path(), &backbone).map(drop),
                Adapter::open_lora(one.path(), &backbone).map(drop),
            ] {
                let error = expect_error(
                    result,
                    &[name, "written only in part, or altered", "train it or copy it again"],
                );
                assert!(matches!(error, EncoderError::AdapterChecksum { .. }), "{error}");
            }
        }
        fs::remove_file(at(name)).unwrap();
        let error =
            expect_error(Adapter::open(one.path(), &backbone), &[name, "written only in part"]);
        assert!(matches!(error, EncoderError::AdapterChecksum { .. }), "{error}");
        fs::write(at(name), own).unwrap();
    }
    assert_eq!(Adapter::open(one.path(), &backbone).unwrap(), constant(&backbone, 1.0));

    // Labels are the card's own.
    let text = fs::read_to_string(at("espalier.json")).unwrap();
    fs::write(at("espalier.json"), text.replace("yes to 1", "certainly")).unwrap();
    assert_eq!(
        Adapter::open(one.path(), &backbone).unwrap().card.output,
        labels(&["certainly", "no to 1"])
    );
    // A card of before, or one that was written by hand, names no files.
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("files").unwrap();
    fs::write(at("espalier.json"), json.to_string()).unwrap();
    assert_eq!(Adapter::open(one.path(), &backbone).unwrap(), constant(&backbone, 1.0));
}

#[test]
fn an_adapter_that_is_read_while_it_is_replaced_is_one_of_the_two() {
    let backbone = tiny_bert();
    let adapters = [constant(&backbone, 1.0), constant(&backbone, 2.0)];
    let directory = tempfile::tempdir().unwrap();
    adapters[0].save(directory.path()).unwrap();
    let writing = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            adapters
                .iter()
                .cycle()
                .take(40)
                .for_each(|adapter| adapter.save(directory.path()).unwrap());
            writing.store(false, std::sync::atomic::Ordering::Relaxed);
        });
        let mut whole = 0;
        while writing.load(std::sync::atomic::Ordering::Relaxed) || whole == 0 {
            if let Ok(read) = Adapter::open(directory.path(), &backbone) {
                assert!(adapters.contains(&read), "a mix of two adapters");
                whole += 1;
            }
        }
    });
}

#[test]
fn numbers_that_are_none_are_named() {
    let backbone = tiny_bert();
    let head = "base_model.model.classifier";
    for (name, shape) in [
        (QUERY_A, [2, 32].as_slice()),
        (QUERY_B, &[32, 2]),
        (&format!("{head}.weight"), &[5, 32]),
        (&format!("{head}.bias"), &[5]),
    ] {
        for (value, message) in [(f32::NAN, "holds NaN"), (f32::INFINITY, "holds inf")] {
            let mut values = vec![0.0; shape.iter().product()];
            *values.last_mut().unwrap() = value;
            let tensor = RawTensor::f32(shape, &values);
            let error = with_tensors(|tensors| drop(tensors.insert(name.into(), tensor)));
            let error = expect_error(error, &[WEIGHTS, name, message]);
            assert!(matches!(error, EncoderError::NotFinite { .. }), "{error}");
        }
    }
    // What is beyond f32 is infinite, or, with another feature of serde_json, refused as it is
    // read.
    for (key, value) in [
        ("r", json!(0)),
        ("lora_alpha", json!(1e39)),
        ("lora_alpha", json!(-1e39)),
        ("alpha_pattern", json!({"query": 1e300})),
    ] {
        let directory = token_classifier(&backbone);
        edit_json(&directory.path().join(CONFIG), |config| config[key] = value);
        let error = expect_error(Adapter::open(directory.path(), &backbone), &[CONFIG]);
        let beyond = key != "r" && matches!(error, EncoderError::Json { .. });
        assert!(beyond || matches!(error, EncoderError::Adapter { .. }), "{error}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn files_without_an_end_are_refused_before_they_are_opened() {
    let backbone = tiny_bert();
    for file in [CONFIG, WEIGHTS, "espalier.json"] {
        let directory = token_classifier(&backbone);
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error =
            expect_error(Adapter::open(directory.path(), &backbone), &[file, "not a regular file"]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}
