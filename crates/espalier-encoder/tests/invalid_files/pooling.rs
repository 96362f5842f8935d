//! modules.json and the configuration of the pooling.

use crate::with_file;
use espalier_encoder::{Backbone, EncoderError};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::copy_of;
use serde_json::json;
use std::fs;

/// Opens the tiny BERT with one module of sentence-transformers.
fn with_module(path: &str, kind: &str) -> Result<Backbone, EncoderError> {
    let kind = format!("sentence_transformers.models.{kind}");
    let modules = json!([{"idx": 1, "name": "1", "path": path, "type": kind}]);
    with_file("modules.json", modules.to_string().as_bytes())
}

#[test]
fn other_poolings_and_modules_are_refused() {
    for (config, message) in [
        (json!({"pooling_mode": "lasttoken"}), "lasttoken"),
        (json!({"pooling_mode_max_tokens": true}), "max_tokens"),
        (json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}), "cls_token"),
        (json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}), "max_tokens"),
        (json!({"pooling_mode_mean_tokens": false}), "[]"),
        (json!({"pooling_mode": ["mean", "max"]}), "1_Pooling"),
    ] {
        let bytes = config.to_string();
        expect_error(
            with_file("1_Pooling/config.json", bytes.as_bytes()),
            &["1_Pooling/config.json", message],
        );
    }
    let error = expect_error(with_module("2_Dense", "Dense"), &["modules.json", "Dense"]);
    assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");

    let directory = copy_of("tiny-bert");
    fs::remove_dir_all(directory.path().join("1_Pooling")).unwrap();
    let error = expect_error(Backbone::open(directory.path()), &["1_Pooling"]);
    assert!(matches!(error, EncoderError::Io { .. }), "{error}");
}

#[test]
fn flags_that_are_not_booleans_are_not_ignored() {
    for other in [json!("yes"), json!(1), json!({})] {
        let config =
            json!({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": other}).to_string();
        expect_error(
            with_file("1_Pooling/config.json", config.as_bytes()),
            &["1_Pooling/config.json", "max_tokens"],
        );
    }
    let config =
        json!({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": null}).to_string();
    assert!(with_file("1_Pooling/config.json", config.as_bytes()).is_ok());
}

#[test]
fn modules_outside_their_directory_are_refused() {
    for path in ["../1_Pooling", "1_Pooling/../../1_Pooling", "/1_Pooling", ".."] {
        for kind in ["Pooling", "Transformer"] {
            let error = expect_error(
                with_module(path, kind),
                &["modules.json", &format!("{path:?}"), "leads out of this directory"],
            );
            assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
        }
    }
    assert!(with_module("./1_Pooling", "Pooling").is_ok());
}
