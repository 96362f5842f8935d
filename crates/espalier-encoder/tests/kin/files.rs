//! Directories, packed files and adapters.

use crate::{KIN, backbone, classifier, recorded};
use espalier_encoder::lora::SiteSpec;
use espalier_encoder::{
    Adapter, Architecture, Backbone, EncoderError, Lora, Module, PackedBackbone, Precision,
};
use espalier_testing::adapters::{CONFIG, WEIGHTS};
use espalier_testing::compare::{bits, expect_error};
use espalier_testing::fixtures::{Edit, copy_of, edit_json, read_json};
use espalier_testing::tensors;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

#[test]
fn what_is_saved_opens_as_the_same_backbone() {
    for name in KIN {
        let (backbone, directory) = (backbone(name), TempDir::new().unwrap());
        assert_eq!(backbone.encoder.config.architecture.name(), name);
        assert_eq!(backbone.encoder.config.parameters(), backbone.weights().len() as u64);
        backbone.save(directory.path()).unwrap();
        let opened = Backbone::open(directory.path()).unwrap();
        assert_eq!(bits(opened.weights()), bits(backbone.weights()));
        assert_eq!(opened.encoder.config, backbone.encoder.config);
        assert_eq!(opened.fingerprint(), backbone.fingerprint());
        // The same names as transformers': it reads the file without further ado.
        let names = |directory: &std::path::Path| -> Vec<String> {
            tensors::read(&directory.join("model.safetensors")).into_keys().collect()
        };
        assert_eq!(names(directory.path()), names(&crate::fixture(&format!("kin/{name}/model"))));
    }
}

/// Files of task models have the prefix of their architecture, and heads and buffers beside the
/// encoder.
#[test]
fn names_may_have_the_prefix_of_the_architecture() {
    for name in KIN {
        let directory = copy_of(&format!("kin/{name}/model"));
        let weights = directory.path().join("model.safetensors");
        let rename = |prefix: &str| {
            tensors::edit(&weights, |tensors| {
                let renamed = std::mem::take(tensors).into_iter();
                tensors
                    .extend(renamed.map(|(tensor, value)| (format!("{prefix}.{tensor}"), value)));
                tensors.insert(
                    "lm_head.dense.weight".into(),
                    tensors::RawTensor::zeros(Dtype::F32, &[2, 2]),
                );
                tensors.insert(
                    format!("{prefix}.embeddings.position_ids"),
                    tensors::RawTensor::zeros(Dtype::I64, &[1, 36]),
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
    for name in KIN {
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
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine =
                dot(&hidden, &exact) / (dot(&hidden, &hidden) * dot(&exact, &exact)).sqrt();
            assert!(cosine > 0.99, "{name}: {cosine} in {precision}");
        }
    }
}

#[test]
fn a_position_beyond_the_table_is_never_asked_for() {
    for name in KIN {
        let backbone = backbone(name);
        let longest = if name == "distilbert" { 36 } else { 34 };
        assert_eq!(backbone.encoder.config.max_tokens(), longest, "{name}");
        let text = backbone.tokenizer.encode(&"the ".repeat(100));
        assert_eq!((text.ids.len(), text.truncated), (longest, true), "{name}");
        let batch = espalier_encoder::Batch::new([text.ids.as_slice()]);
        assert!(backbone.model(None).encode(&batch).iter().all(|x| x.is_finite()), "{name}");
    }
}

#[test]
fn what_peft_wrote_is_written_with_the_same_names_and_targets() {
    for name in KIN {
        let backbone = backbone(name);
        let ((theirs, adapter), ours) = (classifier(name, &backbone), TempDir::new().unwrap());
        adapter.save(ours.path()).unwrap();
        let tensors = |directory: &TempDir| -> Vec<(String, Vec<usize>, Vec<u8>)> {
            let tensors = tensors::read(&directory.path().join(WEIGHTS)).into_iter();
            tensors.map(|(name, tensor)| (name, tensor.shape, tensor.bytes)).collect()
        };
        assert_eq!(tensors(&ours), tensors(&theirs));
        assert_eq!(Adapter::open(ours.path(), &backbone).unwrap(), adapter);
    }
}

/// peft's rule: a module is adapted when its name ends with a target.
#[test]
fn targets_name_no_module_that_is_not_adapted() {
    for name in KIN {
        let backbone = backbone(name);
        let architecture = backbone.encoder.config.architecture;
        let (_directory, mut adapter) = classifier(name, &backbone);
        for (first, other) in Module::ALL.into_iter().zip(Module::ALL.into_iter().cycle().skip(1)) {
            // One module of both layers; two modules, each of another layer.
            for sites in [vec![(0, first), (1, first)], vec![(0, first), (1, other)]] {
                let spec = |&(layer, module)| SiteSpec {
                    layer,
                    module,
                    rank: 1,
                    alpha: 1.0,
                    rank_stabilized: false,
                };
                adapter.lora =
                    Lora::zeros(&backbone.encoder.config, sites.iter().map(spec).collect());
                let directory = TempDir::new().unwrap();
                adapter.save(directory.path()).unwrap();
                let targets = read_json(&directory.path().join(CONFIG))["target_modules"].take();
                let targets: Vec<String> = serde_json::from_value(targets).unwrap();
                let targeted = |&(layer, module): &(usize, Module)| {
                    let full = format!("{name}.{}", architecture.module_name(layer, module));
                    targets.iter().any(|end| full.ends_with(&format!(".{end}")))
                };
                let all = (0..2).flat_map(|layer| Module::ALL.map(|module| (layer, module)));
                assert_eq!(all.filter(targeted).collect::<Vec<_>>(), sites, "{name}");
            }
        }
    }
}

/// The classes for texts have another layer before their last: peft would ask for its weights.
#[test]
fn the_head_of_a_text_classifier_has_a_class_with_one_linear_map() {
    for name in KIN {
        let backbone = backbone(name);
        let (_directory, mut adapter) = classifier(name, &backbone);
        adapter.card.output = espalier_testing::adapters::labels(&["good", "bad", "so-so"]);
        let directory = TempDir::new().unwrap();
        adapter.save(directory.path()).unwrap();
        assert_eq!(read_json(&directory.path().join(CONFIG))["task_type"], "TOKEN_CLS", "{name}");
        assert_eq!(Adapter::open(directory.path(), &backbone).unwrap(), adapter);
        // What peft saves for the class for texts is refused, not read without that layer.
        edit_json(&directory.path().join("espalier.json"), |card| {
            drop(card.as_object_mut().unwrap().remove("files"))
        });
        tensors::edit(&directory.path().join(WEIGHTS), |tensors| {
            let dense = if name == "distilbert" { "pre_classifier" } else { "classifier.dense" };
            let dense = format!("base_model.model.{dense}.weight");
            tensors.insert(dense, tensors::RawTensor::zeros(Dtype::F32, &[32, 32]));
        });
        expect_error(
            Adapter::open(directory.path(), &backbone),
            &["classifier", "not one this engine knows"],
        );
    }
}

#[test]
fn an_adapter_of_another_architecture_does_not_fit() {
    let [distilbert, mpnet] = ["distilbert", "mpnet"].map(backbone);
    let (_directory, adapter) = classifier("mpnet", &mpnet);
    assert!(adapter.validate(&mpnet.encoder.config).is_ok());
    let other = espalier_encoder::EncoderConfig {
        architecture: Architecture::DISTILBERT,
        ..mpnet.encoder.config.clone()
    };
    assert!(adapter.validate(&other).is_err());
    let directory = copy_of("kin/mpnet/adapter");
    expect_error(
        Adapter::open_lora(directory.path(), &distilbert),
        &["mpnet.encoder.layer.1", "does not have"],
    );
}

#[test]
fn what_the_engine_does_not_have_is_refused() {
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

/// A header that was written before there was more than BERT names no architecture.
#[test]
fn a_configuration_without_architecture_is_berts() {
    let mut config = serde_json::to_value(&backbone("mpnet").encoder.config).unwrap();
    assert_eq!((&config["model_type"], &config["first_position"]), (&json!("mpnet"), &json!(2)));
    let keys = config.as_object_mut().unwrap();
    keys.remove("model_type");
    keys.remove("first_position");
    let config: espalier_encoder::EncoderConfig = serde_json::from_value(config).unwrap();
    assert_eq!((config.architecture, config.first_position), (Architecture::BERT, 0));
}

#[test]
fn the_files_of_byte_level_tokenizers_are_carried_along() {
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
