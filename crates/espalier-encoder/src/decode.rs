//! From a head's scores to tags per word.

use crate::head::best_class;
use crate::tags::{TagSet, repair_bio};
use crate::tokenizer::Encoded;

/// The tag of each of `words` words, with its probability, out of the scores [T, C] of one text's tokens.
///
/// A word's scores are those of its first token; a word without one (cut off, or dropped by the tokenizer) is `O` with
/// probability 1. The tags are repaired: an `I-` that continues nothing becomes a `B-`.
pub fn word_tags(scores: &[f32], encoded: &Encoded, words: usize, tags: &TagSet) -> (Vec<String>, Vec<f32>) {
    let classes = tags.len();
    let (mut names, probabilities): (Vec<String>, Vec<f32>) = encoded
        .first_tokens(words)
        .into_iter()
        .map(|token| match token {
            Some(token) => {
                let (id, probability) = best_class(&scores[token * classes..(token + 1) * classes]);
                (tags.tag(id).to_string(), probability)
            }
            None => ("O".to_string(), 1.0),
        })
        .unzip();
    repair_bio(&mut names);
    (names, probabilities)
}
