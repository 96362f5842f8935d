//! tokenizer.json and vocab.txt: damaged, or of another model.

use espalier_encoder::{Backbone, EncoderError, Tokenizer, TokenizerLimits};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{copy_of, edit_json, fixture};
use espalier_testing::tensors::{self, RawTensor};
use safetensors::tensor::Dtype;
use serde_json::json;
use std::fs;

/// Rows of the tiny BERT's word embeddings.
const VOCABULARY: usize = 175;

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), |config| config["vocab_size"] = json!(100));
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        tensors.insert(
            "embeddings.word_embeddings.weight".into(),
            RawTensor::zeros(Dtype::F32, &[100, 32]),
        );
    });
    let error = expect_error(
        Backbone::open(directory.path()),
        &["tokenizer.json", "174", "100 word embeddings"],
    );
    assert!(matches!(error, EncoderError::VocabularyMismatch { .. }), "{error}");
}

#[test]
fn a_model_shorter_than_its_special_tokens_is_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("config.json"), |config| {
        config["max_position_embeddings"] = json!(1)
    });
    tensors::edit(&directory.path().join("model.safetensors"), |tensors| {
        let one_row = RawTensor::zeros(Dtype::F32, &[1, 32]);
        tensors.insert("embeddings.position_embeddings.weight".into(), one_row);
    });
    expect_error(Backbone::open(directory.path()), &["tokenizer.json", "2 special tokens"]);
}

#[test]
fn a_tokenizer_with_more_tokens_than_word_vectors_is_refused() {
    let error = Tokenizer::read(&fixture("tiny-bert"), TokenizerLimits::new(VOCABULARY - 1, 48));
    let error =
        expect_error(error, &["tokenizer.json", "highest id is 174", "174 word embeddings"]);
    assert!(matches!(
        error,
        EncoderError::VocabularyMismatch { highest: 174, vocabulary: 174, .. }
    ));

    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("tokenizer.json"), |tokenizer| {
        let mut extra = tokenizer["added_tokens"][0].clone();
        (extra["id"], extra["content"]) = (json!(9999), json!("[EXTRA]"));
        tokenizer["added_tokens"].as_array_mut().unwrap().push(extra);
    });
    let error = expect_error(
        Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
        &["tokenizer.json"],
    );
    assert!(matches!(error, EncoderError::VocabularyMismatch { .. }));
}

/// The post-processor names its special tokens' ids itself; they need not be in the vocabulary.
#[test]
fn special_tokens_beyond_the_word_vectors_are_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("tokenizer.json"), |tokenizer| {
        tokenizer["post_processor"]["special_tokens"]["[CLS]"]["ids"] = json!([40_000]);
    });
    let error = expect_error(
        Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
        &["tokenizer.json", "40000"],
    );
    assert!(matches!(error, EncoderError::VocabularyMismatch { highest: 40_000, .. }));
}

#[test]
fn more_special_tokens_than_the_model_takes_are_refused() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("tokenizer.json"), |tokenizer| {
        let special = &mut tokenizer["post_processor"]["special_tokens"]["[CLS]"];
        (special["ids"], special["tokens"]) = (json!(vec![2; 60]), json!(vec!["[CLS]"; 60]));
    });
    let error = expect_error(
        Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
        &["tokenizer.json", "61", "48"],
    );
    assert!(matches!(error, EncoderError::Tokenizer { .. }));
}

#[test]
fn a_vocabulary_without_special_tokens_is_refused() {
    for token in ["[CLS]", "[SEP]", "[UNK]"] {
        let directory = copy_of("tiny-bert");
        fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
        let path = directory.path().join("vocab.txt");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(token, "[OTHER]")).unwrap();
        let error = expect_error(
            Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
            &["vocab.txt", token],
        );
        assert!(matches!(error, EncoderError::Tokenizer { .. }));
    }
}

#[test]
fn files_that_are_no_tokenizers_are_refused() {
    for bytes in
        [b"".as_slice(), b"{}", b"[[[[", b"\xff\xfe", br#"{"model": {"type": "WordPiece"}}"#]
    {
        let directory = copy_of("tiny-bert");
        fs::write(directory.path().join("tokenizer.json"), bytes).unwrap();
        let error = expect_error(
            Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
            &["tokenizer.json"],
        );
        assert!(matches!(error, EncoderError::Tokenizer { .. }));
    }
    let directory = copy_of("tiny-bert");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    for bytes in [b"".as_slice(), b"\xff\xfe\n", b"\n\n\n"] {
        fs::write(directory.path().join("vocab.txt"), bytes).unwrap();
        let error = expect_error(
            Tokenizer::read(directory.path(), TokenizerLimits::new(VOCABULARY, 48)),
            &["vocab.txt"],
        );
        assert!(matches!(error, EncoderError::Tokenizer { .. }));
    }
}
