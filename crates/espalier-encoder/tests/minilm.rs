//! A real model: its sentence embeddings against those of sentence-transformers, on 100 plain and
//! unusual sentences.
//!
//! ```text
//! export ESPALIER_MINILM=path/to/all-MiniLM-L6-v2
//! cargo test --release -p espalier-encoder --features slow-tests --test minilm
//! ```
//!
//! The recorded embeddings are those of scripts/make_embedding_fixture.py.

use espalier_encoder::{Backbone, Batch, Tokenizer, TokenizerLimits};
use espalier_testing::compare::cosine;
use espalier_testing::fixtures::{fixture, read_json};
use espalier_testing::tensors;
use std::path::PathBuf;
use tempfile::TempDir;

fn directory() -> PathBuf {
    std::env::var_os("ESPALIER_MINILM")
        .expect("ESPALIER_MINILM names the directory of all-MiniLM-L6-v2")
        .into()
}

fn sentences() -> Vec<String> {
    serde_json::from_value(read_json(&fixture("minilm/sentences.json"))).unwrap()
}

#[test]
fn embeddings_equal_those_of_sentence_transformers() {
    let (backbone, sentences) = (Backbone::open(&directory()).unwrap(), sentences());
    let width = backbone.encoder.width();
    let recorded = &tensors::read(&fixture("minilm/embeddings.safetensors"))["embeddings"];
    assert_eq!(recorded.shape, [sentences.len(), width]);

    let encoded: Vec<_> =
        sentences.iter().map(|sentence| backbone.tokenizer.encode(sentence)).collect();
    let batch = Batch::new(encoded.iter().map(|text| text.ids.as_slice()));
    let (hidden, mut vectors) = (backbone.model(None).encode(&batch), Vec::new());
    backbone.text_vectors.pooling.forward(&hidden, &batch, width, &mut vectors);

    let recorded = recorded.f32s();
    let rows = vectors.chunks(width).zip(recorded.chunks(width));
    let cosines: Vec<f64> = rows.map(|(found, recorded)| cosine(found, recorded)).collect();
    let worst = (0..cosines.len()).min_by(|&a, &b| cosines[a].total_cmp(&cosines[b])).unwrap();
    println!(
        "worst cosine of {}: 1 - {:.2e}, of {:?}",
        cosines.len(),
        1.0 - cosines[worst],
        sentences[worst]
    );
    assert!(cosines[worst] > 0.99999, "cosine {} of {:?}", cosines[worst], sentences[worst]);
}

/// Without tokenizer.json, vocab.txt and tokenizer_config.json make the same tokenizer.
#[test]
fn the_vocabulary_alone_gives_the_same_tokens() {
    let (backbone, alone) = (Backbone::open(&directory()).unwrap(), TempDir::new().unwrap());
    for file in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(directory().join(file), alone.path().join(file)).unwrap();
    }
    let vocabulary = backbone.encoder.config.vocab_size;
    let limits = TokenizerLimits::new(vocabulary, backbone.tokenizer.max_tokens());
    let tokenizer = Tokenizer::read(alone.path(), limits).unwrap();
    for sentence in sentences() {
        assert_eq!(
            tokenizer.encode(&sentence),
            backbone.tokenizer.encode(&sentence),
            "{sentence:?}"
        );
    }
}
