//! Tokenizers that are not BERT's, by Hugging Face's library.

use super::{Encoded, fits, leaves_room};
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
    /// For byte-level BPE, in which a space is a part of the word after it: whether one is added
    /// before a text.
    adds_space: Option<bool>,
}

impl Library {
    /// Reads tokenizer.json of any kind.
    pub fn from_json(
        path: &Path,
        json: &[u8],
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self> {
        let fail = |reason: String| EncoderError::Tokenizer { path: path.to_path_buf(), reason };
        let mut inner = Tokenizer::from_bytes(json)
            .map_err(|error| fail(format!("not a tokenizer: {error}")))?;
        let highest = inner.get_vocab(true).into_values().max();
        fits(path, highest.ok_or_else(|| fail("the vocabulary is empty".into()))?, vocabulary)?;
        let special =
            inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        leaves_room(special, max_tokens).map_err(fail)?;
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams {
                max_length: max_tokens,
                ..Default::default()
            }))
            .map_err(|error| fail(error.to_string()))?;
        let adds_space = inner.get_pre_tokenizer().and_then(byte_level);
        if adds_space.is_some() {
            trim_nothing(&mut inner);
        }
        let library = Self { adds_space, tokenizer: inner };
        // A trial run: what a tokenizer cannot do (a word without an unknown token, say) should
        // show here. On templates that name what there is not the library panics, which leaves
        // nothing behind.
        let trial = || library.try_encode("The quick brown fox 1234 \u{4e2d}\u{1f642}");
        let trial = catch_panic(trial)
            .ok_or_else(|| fail("the tokenizers library cannot run it".into()))?;
        let trial = trial.map_err(|error| fail(error.to_string()))?;
        // The ids of the special tokens around a text are the post-processor's own, whatever the
        // vocabulary says.
        fits(path, trial.ids.into_iter().max().unwrap_or(0), vocabulary)?;
        Ok(library)
    }

    /// The same tokenizer, which cuts nothing.
    pub fn without_truncation(&self) -> Self {
        let mut library = self.clone();
        // Only a limit can be refused.
        let _ = library.tokenizer.with_truncation(None);
        library
    }

    /// The highest id that a text can get.
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

    /// A token as the vocabulary has it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Encodes a text; one that the library refuses becomes an empty one.
    pub fn encode(&self, text: &str) -> Encoded {
        let mut encoded =
            self.try_encode(text).or_else(|_| self.try_encode("")).unwrap_or_default();
        if self.adds_space.is_some() {
            leave_spaces_out(text, &mut encoded);
        }
        encoded
    }

    /// Encodes a text in words. Byte-level BPE knows the words inside a text by the space before
    /// them, and has other tokens for those without: so every word but the first gets one, and all
    /// have the tokens that they have in the words joined by spaces.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        let lacks_space = |word: &str| {
            self.adds_space == Some(false) && !word.is_empty() && !word.starts_with(' ')
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

/// Whether byte-level BPE adds a space before a text, if this is its way of finding words.
fn byte_level(pre_tokenizer: &PreTokenizerWrapper) -> Option<bool> {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(byte_level) => Some(byte_level.add_prefix_space),
        PreTokenizerWrapper::Sequence(parts) => parts.as_ref().iter().find_map(byte_level),
        _ => None,
    }
}

/// Has spaces left in the spans. Where the library takes them off, it takes those that it has
/// itself added for a character of the text.
fn trim_nothing(tokenizer: &mut Tokenizer) {
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

/// Takes spaces off the ends of all spans, and what is nothing but space out of the words.
fn leave_spaces_out(text: &str, encoded: &mut Encoded) {
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
