//! Documents as token sequences, cut to a length that an encoder takes.

use std::collections::VecDeque;
use std::path::Path;

use espalier_encoder::{Encoded, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::records::documents::documents;

/// Documents that are tokenized at a time, on all threads.
const DOCUMENTS: usize = 64;

/// Consecutive tokens of a document, with the special tokens around them: what an encoder reads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TextPiece {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The role of each token.
    pub roles: Vec<Role>,
}

/// The role of a token in its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Role {
    /// A special token, which is not a part of the text.
    Special,
    /// The first token of a word.
    First,
    /// A further token of the same word.
    Further,
}

/// The pieces of a file, in the order of its documents, none longer than `max_tokens`. Longer
/// documents are cut, between words where possible; no token is lost.
pub(super) fn pieces(
    path: &Path,
    tokenizer: &Tokenizer,
    max_tokens: usize,
) -> Result<impl Iterator<Item = Result<TextPiece, DataError>> + use<>, DataError> {
    let (mut documents, tokenizer) = (documents(path)?, tokenizer.without_truncation());
    let mut ready: VecDeque<Result<TextPiece, DataError>> = VecDeque::new();
    Ok(std::iter::from_fn(move || {
        while ready.is_empty() {
            let block: Vec<_> = documents.by_ref().take(DOCUMENTS).collect();
            if block.is_empty() {
                return None;
            }
            let pieces = |document: Result<String, DataError>| match document {
                Ok(text) => cut(&tokenizer.encode(&text), &tokenizer, max_tokens)
                    .into_iter()
                    .map(Ok)
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            let block: Vec<Vec<_>> = block.into_par_iter().map(pieces).collect();
            ready.extend(block.into_iter().flatten());
        }
        ready.pop_front()
    }))
}

/// Cuts an encoded document into pieces.
fn cut(text: &Encoded, tokenizer: &Tokenizer, max_tokens: usize) -> Vec<TextPiece> {
    let special = |word: &Option<u32>| word.is_none();
    let before = text.word_ids.iter().take_while(|word| special(word)).count();
    let after = text.word_ids[before..].iter().rev().take_while(|word| special(word)).count();
    let (end, room) = (text.ids.len() - after, max_tokens.saturating_sub(before + after).max(1));
    let role = |token: usize| match text.word_ids[token] {
        None => Role::Special,
        Some(_) if tokenizer.is_added(text.ids[token]) => Role::Special,
        word if token > 0 && word == text.word_ids[token - 1] => Role::Further,
        Some(_) => Role::First,
    };
    let (mut start, mut pieces) = (before, Vec::new());
    while start < end {
        let most = end.min(start + room);
        let between_words =
            (start + 1..most + 1).rev().find(|&cut| cut == end || role(cut) != Role::Further);
        let next = between_words.unwrap_or(most);
        let around =
            |range: std::ops::Range<usize>| range.map(|token| (text.ids[token], Role::Special));
        let inside = (start..next).map(|token| (text.ids[token], role(token)));
        let (ids, roles) =
            around(0..before).chain(inside).chain(around(end..text.ids.len())).unzip();
        pieces.push(TextPiece { ids, roles });
        start = next;
    }
    pieces
}
