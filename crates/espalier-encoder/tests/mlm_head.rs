//! The head of masked language modelling: read and written in the format of transformers, and the
//! tokens that it predicts.
//!
//! The recorded numbers are those of scripts/make_mlm_fixtures.py: computed in f64, stored as f32.

use espalier_encoder::{Backbone, EncoderConfig, EncoderError, MlmHead};
use espalier_testing::compare::{assert_close, bits, expect_error};
use espalier_testing::fixtures::{copy_of, fixture, read_json, tiny_bert};
use espalier_testing::recorded::Recorded;
use espalier_testing::tensors;
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

#[cfg(feature = "tokenizers")]
const NAMES: [&str; 4] = ["bert", "distilbert", "roberta", "mpnet"];
/// RoBERTa's tokenizer is left to the `tokenizers` library.
#[cfg(not(feature = "tokenizers"))]
const NAMES: [&str; 3] = ["bert", "distilbert", "mpnet"];

fn open(name: &str) -> Backbone {
    Backbone::open(&fixture(&format!("mlm/{name}/model"))).unwrap()
}

fn with_head(backbone: &Backbone) -> &MlmHead {
    backbone.mlm_head().expect("the file holds a head")
}

#[test]
fn scores_of_every_architecture() {
    for name in NAMES {
        let (backbone, recorded) = (open(name), Recorded::at(&fixture(&format!("mlm/{name}"))));
        let (width, config) = (backbone.encoder.width(), &backbone.encoder.config);
        let hidden = backbone.model(None).encode(&recorded.batch());
        let masked = recorded.targets("labels").into_iter().zip(hidden.chunks_exact(width));
        let vectors: Vec<f32> =
            masked.filter_map(|(target, row)| target.map(|_| row)).flatten().copied().collect();
        let words = backbone.encoder.layout.embeddings.word_embeddings(backbone.weights());
        let scores = with_head(&backbone).scores(&vectors, words, config.layer_norm_eps);
        assert_close(name, &scores, &recorded.tensors["scores"].f32s());
    }
}

#[test]
fn what_is_saved_is_what_transformers_saves() {
    for name in NAMES {
        let (backbone, directory) = (open(name), TempDir::new().unwrap());
        backbone.save(directory.path()).unwrap();
        let tensors = |path: &Path| tensors::read(&path.join("model.safetensors"));
        let (saved, original) =
            (tensors(directory.path()), tensors(&fixture(&format!("mlm/{name}/model"))));
        assert_eq!(saved.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>(), "{name}");
        assert!(saved.iter().all(|(key, tensor)| tensor.bytes == original[key].bytes), "{name}");
        let again = Backbone::open(directory.path()).unwrap();
        assert_eq!(again.mlm_head(), backbone.mlm_head());
        assert_eq!(again.fingerprint(), backbone.fingerprint());
    }
}

/// With a head, a bare encoder is saved as the class for masked language modelling. Other weights
/// do not keep the head.
#[test]
fn a_bare_encoder_with_a_head_is_saved_as_another_class() {
    let (bare, directory) = (tiny_bert(), TempDir::new().unwrap());
    assert_eq!(bare.mlm_head(), None);
    let head = MlmHead::random_init(&bare.encoder.config, || 0.5);
    let backbone = bare.clone().with_mlm_head(Some(head.clone()));
    assert_eq!(backbone.fingerprint(), bare.fingerprint());
    backbone.save(directory.path()).unwrap();
    assert_eq!(
        read_json(&directory.path().join("config.json"))["architectures"],
        json!(["BertForMaskedLM"])
    );
    let names: Vec<String> =
        tensors::read(&directory.path().join("model.safetensors")).into_keys().collect();
    assert!(
        names.iter().all(|name| name.starts_with("bert.") || name.starts_with("cls.predictions.")),
        "{names:?}"
    );
    assert_eq!(Backbone::open(directory.path()).unwrap().mlm_head(), Some(&head));
    assert_eq!(backbone.with_weights(bare.weights().to_vec()).mlm_head(), None);
}

#[test]
fn old_names_are_read_and_a_decoder_with_its_own_matrix_is_no_head() {
    let directory = copy_of("mlm/bert/model");
    let file = directory.path().join("model.safetensors");
    let original = open("bert");
    tensors::edit(&file, |tensors| {
        for (new, old) in [("weight", "gamma"), ("bias", "beta")] {
            let norm = "cls.predictions.transform.LayerNorm";
            let tensor = tensors.remove(&format!("{norm}.{new}")).unwrap();
            tensors.insert(format!("{norm}.{old}"), tensor);
        }
        let words = tensors["bert.embeddings.word_embeddings.weight"].clone();
        tensors.insert("cls.predictions.decoder.weight".into(), words);
    });
    assert_eq!(
        Backbone::open(directory.path()).unwrap().mlm_head(),
        original.mlm_head(),
        "the decoder repeats the word embeddings"
    );
    tensors::edit(&file, |tensors| {
        tensors.get_mut("cls.predictions.decoder.weight").unwrap().bytes[3] ^= 0x80
    });
    let other = Backbone::open(directory.path()).unwrap();
    assert_eq!((other.mlm_head(), other.fingerprint()), (None, original.fingerprint()));
    tensors::edit(&file, |tensors| drop(tensors.remove("cls.predictions.bias")));
    tensors::edit(&file, |tensors| drop(tensors.remove("cls.predictions.decoder.weight")));
    expect_error(Backbone::open(directory.path()), &["cls.predictions.bias", "missing"]);
}

/// All scores come from the bias of the head: everything else is zero.
#[test]
fn predictions_are_the_likeliest_tokens() {
    let bare = tiny_bert();
    let mut head = MlmHead::random_init(&bare.encoder.config, || 0.0);
    let (weight, width) = (head.matrix().len(), bare.encoder.width());
    head.values[weight + width..weight + 2 * width].fill(0.0); // the LayerNorm gives its bias, zero
    let id = |word: &str| bare.tokenizer.encode(word).ids[1];
    let bias = head.values.len() - bare.encoder.config.vocab_size;
    head.values[bias + id("paris") as usize] = 9.0;
    head.values[bias + id("london") as usize] = 8.0;
    let backbone = bare.clone().with_mlm_head(Some(head));
    let guesses = backbone.fill_mask("the [MASK] hotel of [MASK] .", 2).unwrap();
    assert_eq!(guesses.len(), 2);
    for guesses in guesses {
        assert_eq!(
            guesses.iter().map(|guess| guess.token.as_str()).collect::<Vec<_>>(),
            ["paris", "london"]
        );
        // All other tokens have the score 0.
        let all = 9f32.exp() + 8f32.exp() + (bare.encoder.config.vocab_size - 2) as f32;
        assert!((guesses[0].probability - 9f32.exp() / all).abs() < 1e-5);
    }
    assert!(backbone.fill_mask("no mask", 2).unwrap().is_empty());
    assert!(matches!(bare.fill_mask("[MASK]", 2), Err(EncoderError::NoMlmHead)));
}

fn small() -> EncoderConfig {
    EncoderConfig {
        num_hidden_layers: 1,
        hidden_size: 8,
        num_attention_heads: 2,
        ..tiny_bert().encoder.config.clone()
    }
}

#[test]
fn a_random_encoder_has_the_vocabulary_of_its_tokenizer() {
    let directory = TempDir::new().unwrap();
    let mut next = 0.0;
    let count = || {
        next += 1.0;
        next
    };
    let config = EncoderConfig { vocab_size: 3, max_position_embeddings: 20, ..small() };
    let fresh = Backbone::random_init(config, &fixture("tiny-bert"), count).unwrap();
    assert_eq!(fresh.encoder.config.vocab_size, tiny_bert().encoder.config.vocab_size);
    assert_eq!(fresh.tokenizer.max_tokens(), 20);
    for spec in &fresh.encoder.layout.tensors {
        let values = &fresh.weights()[spec.range.clone()];
        match spec.shape.len() {
            1 if spec.name.ends_with("LayerNorm.weight") => {
                assert!(values.iter().all(|&x| x == 1.0))
            }
            1 => assert!(values.iter().all(|&x| x == 0.0), "{}", spec.name),
            _ => assert!(values.iter().all(|&x| x > 1.0 - 0.5), "{}", spec.name),
        }
    }
    fresh.save(directory.path()).unwrap();
    let again = Backbone::open(directory.path()).unwrap();
    assert_eq!(bits(again.weights()), bits(fresh.weights()));
    assert_eq!(again.encoder.config, fresh.encoder.config);
    assert_eq!(again.tokenizer.max_tokens(), 20);
    assert!(
        !directory.path().join("modules.json").exists(),
        "only the tokenizer of the other model is saved"
    );
}

#[test]
fn impossible_encoders_are_refused() {
    let fresh =
        |config: EncoderConfig, tokenizer: &Path| Backbone::random_init(config, tokenizer, || 0.0);
    let tokenizer = fixture("tiny-bert");
    expect_error(
        fresh(EncoderConfig { num_attention_heads: 3, ..small() }, &tokenizer),
        &["hidden_size", "8", "3"],
    );
    expect_error(
        fresh(EncoderConfig { num_hidden_layers: 0, ..small() }, &tokenizer),
        &["num_hidden_layers"],
    );
    expect_error(fresh(small(), &fixture("peft-adapter")), &["tokenizer.json or vocab.txt"]);
    expect_error(
        fresh(EncoderConfig { max_position_embeddings: 1, ..small() }, &tokenizer),
        &["special tokens"],
    );
}
