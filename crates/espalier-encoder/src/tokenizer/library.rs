//! All tokenizers but BERT's, run by Hugging Face's `tokenizers` library.

use super::{Encoded, TokenizerLimits, check_highest_id, check_special_tokens};
use crate::error::{EncoderError, Result, catch_panic};
use std::borrow::Cow;
use std::path::Path;
use tokenizers::{
    EncodeInput, PostProcessor, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TruncationParams,
};

/// A tokenizer of the library.
#[derive(Clone, Debug)]
pub struct Library {
    tokenizer: Tokenizer,
    /// For byte-level BPE, in which a space belongs to the word after it: whether one is added
    /// before a text.
    add_prefix_space: Option<bool>,
}

impl Library {
    /// Parses any tokenizer.json.
    pub fn from_json(path: &Path, json: &[u8], limits: TokenizerLimits) -> Result<Self> {
        let fail = |reason: String| EncoderError::Tokenizer { path: path.to_path_buf(), reason };
        let mut inner = Tokenizer::from_bytes(json)
            .map_err(|error| fail(format!("not a tokenizer: {error}")))?;
        let highest = inner.get_vocab(true).into_values().max();
        let highest = highest.ok_or_else(|| fail("the vocabulary is empty".into()))?;
        check_highest_id(path, highest, limits)?;
        let special =
            inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        check_special_tokens(special, limits.max_tokens).map_err(fail)?;
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams {
                max_length: limits.max_tokens,
                ..Default::default()
            }))
            .map_err(|error| fail(error.to_string()))?;
        let add_prefix_space = inner.get_pre_tokenizer().and_then(byte_level);
        if add_prefix_space.is_some() {
            keep_spaces_in_offsets(&mut inner);
        }
        let library = Self { add_prefix_space, tokenizer: inner };
        // A trial run, so that a tokenizer that cannot encode (a missing unknown token, say) fails
        // here. The library panics on templates that name undefined tokens.
        let trial = || library.try_encode("The quick brown fox 1234 \u{4e2d}\u{1f642}");
        let trial = catch_panic(trial)
            .ok_or_else(|| fail("the tokenizers library cannot run it".into()))?;
        let trial = trial.map_err(|error| fail(error.to_string()))?;
        // The special tokens around a text have ids of the post-processor, which need not be in the
        // vocabulary.
        check_highest_id(path, trial.ids.into_iter().max().unwrap_or(0), limits)?;
        Ok(library)
    }

    /// The same tokenizer without truncation.
    pub fn without_truncation(&self) -> Self {
        let mut library = self.clone();
        // Only setting a limit can fail.
        let _ = library.tokenizer.with_truncation(None);
        library
    }

    /// The highest id that a token can have.
    pub fn highest_id(&self) -> u32 {
        self.tokenizer.get_vocab(true).into_values().max().unwrap_or(0)
    }

    /// The id of an added token.
    pub fn added_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token).filter(|&id| self.is_added(id))
    }

    /// Whether an id is that of an added token.
    pub fn is_added(&self, id: u32) -> bool {
        self.tokenizer.get_added_vocabulary().simple_id_to_token(id).is_some()
    }

    /// The token with an id, as it is in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Encodes a text, or an empty one if the library fails on it.
    pub fn encode(&self, text: &str) -> Encoded {
        let mut encoded =
            self.try_encode(text).or_else(|_| self.try_encode("")).unwrap_or_default();
        if self.add_prefix_space.is_some() {
            exclude_spaces(text, &mut encoded);
        }
        encoded
    }

    /// Encodes words. Byte-level BPE has different tokens for words with and without a space before
    /// them. So every word but the first gets one, and all have the same tokens as in the words
    /// joined by spaces.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        let lacks_space = |word: &str| {
            self.add_prefix_space == Some(false) && !word.is_empty() && !word.starts_with(' ')
        };
        let spaced = words.iter().map(AsRef::as_ref).enumerate().map(|(index, word)| {
            match lacks_space(word) {
                true if index > 0 => Cow::Owned(format!(" {word}")),
                _ => Cow::Borrowed(word),
            }
        });
        let spaced: Vec<Cow<str>> = spaced.collect();
        let mut encoded = self.try_encode(spaced.as_slice()).unwrap_or_default();
        for (word, (start, end)) in encoded.word_ids.iter().zip(&mut encoded.spans) {
            if word.is_some_and(|word| matches!(spaced.get(word as usize), Some(Cow::Owned(_)))) {
                (*start, *end) = (start.saturating_sub(1), end.saturating_sub(1));
            }
        }
        encoded
    }

    fn try_encode<'s>(&self, input: impl Into<EncodeInput<'s>>) -> tokenizers::Result<Encoded> {
        let encoding = self.tokenizer.encode_char_offsets(input, true)?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            word_ids: encoding.get_word_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}

/// Whether a byte-level pre-tokenizer adds a space before a text; `None` for others.
fn byte_level(pre_tokenizer: &PreTokenizerWrapper) -> Option<bool> {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(byte_level) => Some(byte_level.add_prefix_space),
        PreTokenizerWrapper::Sequence(parts) => parts.as_ref().iter().find_map(byte_level),
        _ => None,
    }
}

/// Turns off `trim_offsets`. With it, the library also trims the space that it has added itself,
/// taking it for a character of the text.
fn keep_spaces_in_offsets(tokenizer: &mut Tokenizer) {
    let processor = tokenizer.get_post_processor().cloned().map(|processor| match processor {
        PostProcessorWrapper::Roberta(roberta) => {
            PostProcessorWrapper::Roberta(roberta.trim_offsets(false))
        }
        PostProcessorWrapper::ByteLevel(bytes) => {
            PostProcessorWrapper::ByteLevel(bytes.trim_offsets(false))
        }
        other => other,
    });
    tokenizer.with_post_processor(processor);
}

/// Trims spaces from all spans, and removes words that consist of spaces.
fn exclude_spaces(text: &str, encoded: &mut Encoded) {
    let characters: Vec<char> = text.chars().collect();
    let is_space = |at: usize| characters.get(at).is_some_and(|c| c.is_whitespace());
    let mut visible = Vec::new();
    for (word, (start, end)) in encoded.word_ids.iter().zip(&mut encoded.spans) {
        while *start < *end && is_space(*start) {
            *start += 1;
        }
        while *start < *end && is_space(*end - 1) {
            *end -= 1;
        }
        if let Some(word) = word.map(|word| word as usize) {
            visible.resize(visible.len().max(word + 1), false);
            visible[word] |= *start < *end;
        }
    }
    let mut next = 0..;
    let numbers: Vec<Option<u32>> =
        visible.into_iter().map(|visible| if visible { next.next() } else { None }).collect();
    for word in &mut encoded.word_ids {
        *word = word.and_then(|word| numbers[word as usize]);
    }
}
