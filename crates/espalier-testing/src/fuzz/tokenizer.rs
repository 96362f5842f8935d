//! A tokenizer and a text: tokenizer.json, or, where that is empty, vocab.txt and
//! tokenizer_config.json; then the text.
//!
//! What is read from tokenizer.json must tokenize as the `tokenizers` library does.

use super::files;
use crate::wordpiece::Pair;
use espalier_encoder::{Encoded, Tokenizer, TokenizerLimits};
use std::path::Path;

/// Rows of the word embeddings.
const ROWS: usize = 1 << 20;
const MAX_TOKENS: usize = 24;

/// Reads a tokenizer and encodes a text, whole and in words.
pub fn read(input: &[u8]) {
    let [json, lines, config, text] = files::parts(input);
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split('\n').collect();
    let path = Path::new("tokenizer.json");
    let config = (!config.is_empty()).then_some(config);
    let limits = TokenizerLimits::new(ROWS, MAX_TOKENS);
    let opened = match json.is_empty() {
        true => Tokenizer::from_vocabulary(path, lines, config, limits),
        false => Tokenizer::from_json(path, json, limits),
    };
    let Ok(tokenizer) = opened else { return };
    check(&tokenizer.encode(&text), text.chars().count());
    check(&tokenizer.encode_words(&words), text.chars().count());
    let library = std::str::from_utf8(json).ok().and_then(|json| json.parse().ok());
    if let Some(library) = library {
        let pair = Pair::of(tokenizer, library);
        pair.assert_same(&text);
        pair.assert_same_words(&words);
    }
}

fn check(encoded: &Encoded, characters: usize) {
    let Encoded { ids, word_ids: words, spans, .. } = encoded;
    assert!(ids.len() <= MAX_TOKENS && ids.len() == words.len() && ids.len() == spans.len());
    assert!(ids.iter().all(|&id| (id as usize) < ROWS));
    assert!(spans.iter().all(|&(start, end)| start <= end && end <= characters), "{spans:?}");
}
