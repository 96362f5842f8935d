//! Weights and configuration of an adapter: damaged, foreign, or beyond this engine.

use espalier_encoder::{Adapter, EncoderError};
use espalier_testing::adapters::{CONFIG, WEIGHTS, token_classifier};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{edit_json, tiny_bert};
use espalier_testing::tensors::{self, RawTensor, RawTensors};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;

const QUERY_A: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_A.weight";
const QUERY_B: &str = "base_model.model.bert.encoder.layer.2.attention.self.query.lora_B.weight";

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

#[test]
fn unknown_tensors_are_refused() {
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
fn values_that_are_not_finite_are_named() {
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
    // Beyond f32 a number becomes infinite, or is refused when parsed (with another feature of
    // serde_json).
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
fn truncated_and_missing_files_are_named() {
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
