//! Model directories and packed files.

use crate::{NAMES, backbone, classifier, recorded};
use espalier_encoder::{
    Architecture, Backbone, Batch, EncoderConfig, EncoderError, PackedBackbone, Precision,
};
use espalier_testing::compare::{bits, cosine, expect_error};
use espalier_testing::fixtures::{Edit, copy_of, edit_json, fixture};
use espalier_testing::tensors::{self, RawTensor};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

#[test]
fn what_is_saved_opens_as_the_same_backbone() {
    for name in NAMES {
        let (backbone, directory) = (backbone(name), TempDir::new().unwrap());
        assert_eq!(backbone.encoder.config.architecture.name(), name);
        assert_eq!(backbone.encoder.config.parameters(), backbone.weights().len() as u64);
        backbone.save(directory.path()).unwrap();
        let opened = Backbone::open(directory.path()).unwrap();
        assert_eq!(bits(opened.weights()), bits(backbone.weights()));
        assert_eq!(opened.encoder.config, backbone.encoder.config);
        assert_eq!(opened.fingerprint(), backbone.fingerprint());
        // The names are those of transformers, which can read the file.
        let names = |directory: &Path| -> Vec<String> {
            tensors::read(&directory.join("model.safetensors")).into_keys().collect()
        };
        assert_eq!(names(directory.path()), names(&fixture(&format!("kin/{name}/model"))));
    }
}

/// Files of task models have the prefix of their architecture, and hold heads and buffers besides
/// the encoder.
#[test]
fn names_may_have_the_prefix_of_the_architecture() {
    for name in NAMES {
        let directory = copy_of(&format!("kin/{name}/model"));
        let weights = directory.path().join("model.safetensors");
        let rename = |prefix: &str| {
            tensors::edit(&weights, |tensors| {
                let renamed = std::mem::take(tensors).into_iter();
                tensors
                    .extend(renamed.map(|(tensor, value)| (format!("{prefix}.{tensor}"), value)));
                tensors
                    .insert("lm_head.dense.weight".into(), RawTensor::zeros(Dtype::F32, &[2, 2]));
                tensors.insert(
                    format!("{prefix}.embeddings.position_ids"),
                    RawTensor::zeros(Dtype::I64, &[1, 36]),
                );
            });
        };
        rename(name);
        assert_eq!(
            Backbone::open(directory.path()).unwrap().fingerprint(),
            backbone(name).fingerprint()
        );
        rename("another");
        let error =
            expect_error(Backbone::open(directory.path()), &["embeddings.word_embeddings.weight"]);
        assert!(matches!(error, EncoderError::MissingTensor { .. }), "{error}");
    }
}

#[test]
fn a_packed_file_computes_what_the_directory_computes() {
    for name in NAMES {
        let (backbone, batch, directory) =
            (backbone(name), recorded(name).batch(), TempDir::new().unwrap());
        let (_adapter, adapter) = classifier(name, &backbone);
        for precision in Precision::ALL {
            let path = directory.path().join(format!("{precision}.espalier"));
            backbone.pack(precision, &path).unwrap();
            let file = PackedBackbone::open(&path).unwrap();
            assert_eq!(file.encoder.config, backbone.encoder.config);
            assert_eq!(file.tokenizer.encode("the hotel"), backbone.tokenizer.encode("the hotel"));
            let (hidden, exact) = (
                file.model(Some(&adapter.lora)).encode(&batch),
                backbone.model(Some(&adapter.lora)).encode(&batch),
            );
            if precision == Precision::F32 {
                assert_eq!(bits(&hidden), bits(&exact), "{name}");
            }
            let cosine = cosine(&hidden, &exact);
            assert!(cosine > 0.99, "{name}: {cosine} in {precision}");
        }
    }
}

#[test]
fn texts_are_cut_to_the_positions_of_the_model() {
    for name in NAMES {
        let backbone = backbone(name);
        let longest = if name == "distilbert" { 36 } else { 34 };
        assert_eq!(backbone.encoder.config.max_tokens(), longest, "{name}");
        let text = backbone.tokenizer.encode(&"the ".repeat(100));
        assert_eq!((text.ids.len(), text.truncated), (longest, true), "{name}");
        let batch = Batch::new([text.ids.as_slice()]);
        assert!(backbone.model(None).encode(&batch).iter().all(|x| x.is_finite()), "{name}");
    }
}

#[test]
fn unsupported_models_are_refused() {
    let cases: [(&str, Edit, &str); 11] = [
        ("distilbert", |c| c["activation"] = json!("relu"), "activation \"relu\""),
        ("distilbert", |c| c["dim"] = json!(0), "\"dim\" is 0"),
        (
            "distilbert",
            |c| c["n_heads"] = json!(5),
            "\"dim\" 32 is not a multiple of \"n_heads\" 5",
        ),
        ("roberta", |c| c["hidden_act"] = json!("gelu_new"), "activation \"gelu_new\""),
        ("roberta", |c| c["position_embedding_type"] = json!("relative_key"), "relative_key"),
        ("roberta", |c| c["is_decoder"] = json!(true), "is_decoder"),
        ("roberta", |c| c["pad_token_id"] = json!(35), "first token has row 36"),
        ("roberta", |c| c["pad_token_id"] = json!(u64::MAX), "first token has row"),
        ("mpnet", |c| c["hidden_act"] = json!("relu"), "activation \"relu\""),
        (
            "mpnet",
            |c| c["relative_attention_num_buckets"] = json!(64),
            "\"relative_attention_num_buckets\" 64",
        ),
        ("mpnet", |c| c["max_position_embeddings"] = json!(2), "first token has row 2"),
    ];
    for (name, edit, message) in cases {
        let error = expect_error(edited(name, edit), &["config.json", message]);
        assert!(matches!(error, EncoderError::Unsupported { .. }), "{error}");
    }
    for key in ["dim", "n_layers", "n_heads", "hidden_dim", "vocab_size", "max_position_embeddings"]
    {
        let error = expect_error(
            edited("distilbert", |c| drop(c.as_object_mut().unwrap().remove(key))),
            &[key],
        );
        assert!(matches!(error, EncoderError::Json { .. }), "{error}");
    }
}

fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> Result<Backbone, EncoderError> {
    let directory = copy_of(&format!("kin/{name}/model"));
    edit_json(&directory.path().join("config.json"), edit);
    Backbone::open(directory.path())
}

/// Headers of earlier versions, which knew only BERT, name no architecture.
#[test]
fn a_configuration_without_architecture_is_berts() {
    let mut config = serde_json::to_value(&backbone("mpnet").encoder.config).unwrap();
    assert_eq!((&config["model_type"], &config["first_position"]), (&json!("mpnet"), &json!(2)));
    let keys = config.as_object_mut().unwrap();
    keys.remove("model_type");
    keys.remove("first_position");
    let config: EncoderConfig = serde_json::from_value(config).unwrap();
    assert_eq!((config.architecture, config.first_position), (Architecture::BERT, 0));
}

#[test]
fn the_files_of_byte_level_tokenizers_are_saved_too() {
    let (directory, saved) = (copy_of("kin/mpnet/model"), TempDir::new().unwrap());
    for file in ["vocab.json", "merges.txt"] {
        fs::write(directory.path().join(file), file).unwrap();
    }
    Backbone::open(directory.path()).unwrap().save(saved.path()).unwrap();
    for file in
        ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "config.json"]
    {
        let read = |directory: &TempDir| fs::read(directory.path().join(file)).unwrap();
        assert_eq!(read(&saved), read(&directory), "{file}");
    }
}
