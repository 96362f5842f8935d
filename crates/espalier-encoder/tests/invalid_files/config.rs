//! config.json, and settings of the tokenizer.

use crate::with_file;
use espalier_encoder::{Backbone, EncoderError};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{copy_of, edit_json};
use serde_json::{Value, json};

/// Opens the tiny BERT with its config.json changed.
fn with_config(edit: impl FnOnce(&mut Value)) -> Result<Backbone, EncoderError> {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), edit);
    Backbone::open(directory.path())
}

#[test]
fn invalid_json_is_named() {
    let deep = "[".repeat(100_000);
    for file in
        ["config.json", "tokenizer_config.json", "sentence_bert_config.json", "modules.json"]
    {
        for bytes in [b"".as_slice(), b"{", b"3", b"\xff\xfe{}", deep.as_bytes()] {
            let error = expect_error(with_file(file, bytes), &[file]);
            assert!(matches!(error, EncoderError::Json { .. }), "{error}");
        }
    }
}

#[test]
fn missing_keys_are_named() {
    for key in [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let error = expect_error(
            with_config(|config| drop(config.as_object_mut().unwrap().remove(key))),
            &[key],
        );
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

#[test]
fn unsupported_models_are_refused() {
    for (key, value, message) in [
        ("model_type", json!("deberta"), "architecture \"deberta\""),
        ("model_type", Value::Null, "model_type"),
        ("hidden_act", json!("relu"), "activation \"relu\""),
        ("hidden_act", json!("gelu_new"), "activation \"gelu_new\""),
        ("position_embedding_type", json!("relative_key"), "relative_key"),
        ("is_decoder", json!(true), "is_decoder"),
    ] {
        let error =
            expect_error(with_config(|config| config[key] = value), &["config.json", message]);
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn impossible_sizes_are_refused() {
    for (key, size, message) in [
        ("hidden_size", 0, "\"hidden_size\" is 0"),
        ("num_attention_heads", 0, "\"num_attention_heads\" is 0"),
        ("num_hidden_layers", 0, "\"num_hidden_layers\" is 0"),
        (
            "num_attention_heads",
            5,
            "\"hidden_size\" 32 is not a multiple of \"num_attention_heads\" 5",
        ),
        ("vocab_size", u64::MAX, "vocab_size"),
        ("hidden_size", 1 << 62, "hidden_size"),
        ("num_hidden_layers", 1 << 40, "num_hidden_layers"),
        ("intermediate_size", u64::MAX / 2, "intermediate_size"),
    ] {
        let error = expect_error(
            with_config(|config| config[key] = json!(size)),
            &["config.json", message],
        );
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
    for value in [json!(-1), json!(1.5), json!("32"), json!([32])] {
        let error =
            expect_error(with_config(|config| config["hidden_size"] = value), &["config.json"]);
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

/// The largest sizes that are accepted: 200 terabytes of weights, more than an address space holds.
/// Allocating them would abort the process.
#[test]
fn sizes_are_compared_with_the_weights_before_anything_is_allocated() {
    let error = with_config(|config| {
        (config["hidden_size"], config["num_attention_heads"]) = (json!(1 << 16), json!(1 << 16));
        (config["num_hidden_layers"], config["intermediate_size"]) =
            (json!(1 << 10), json!(1 << 18));
        (config["vocab_size"], config["max_position_embeddings"]) =
            (json!(1 << 24), json!(1 << 20));
    });
    let error = expect_error(
        error,
        &[
            "model.safetensors",
            "embeddings.word_embeddings.weight",
            "[175, 32]",
            "[16777216, 65536]",
        ],
    );
    assert!(matches!(error, EncoderError::TensorShape { .. }), "{error}");

    let error = expect_error(
        with_config(|config| config["num_hidden_layers"] = json!(1 << 10)),
        &["encoder.layer.3."],
    );
    assert!(matches!(error, EncoderError::MissingTensor { .. }), "{error}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    // Beyond f32 a number becomes infinite, or is refused when parsed (with another feature of
    // serde_json).
    for eps in [-1e-12f64, -1.0, 1e39, -1e300] {
        let error = expect_error(
            with_config(|config| config["layer_norm_eps"] = json!(eps)),
            &["config.json"],
        );
        let beyond = eps.abs() > f64::from(f32::MAX) && matches!(error, EncoderError::Json { .. });
        assert!(beyond || matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
    for (file, key) in [
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ] {
        for limit in [json!(-1), json!(0), json!(-1e30), json!(0.5)] {
            let directory = copy_of("tiny-bert");
            edit_json(&directory.path().join(file), |settings| settings[key] = limit.clone());
            let error = expect_error(Backbone::open(directory.path()), &[file, "at least 1"]);
            assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
        }
        // What transformers writes where there is no limit.
        let directory = copy_of("tiny-bert");
        edit_json(&directory.path().join(file), |settings| settings[key] = json!(1e30));
        assert!(Backbone::open(directory.path()).is_ok());
    }
}
