//! Tokenizers that are not BERT's, by Hugging Face's library.

use super::{Encoded, fits, leaves_room};
use crate::error::{EncoderError, Result};
use std::path::Path;
use tokenizers::{EncodeInput, PostProcessor, Tokenizer, TruncationParams};

/// A tokenizer of the library.
#[derive(Clone, Debug)]
pub struct Library(Tokenizer);

impl Library {
    /// Reads tokenizer.json of any kind.
    pub fn from_json(path: &Path, json: &[u8], vocabulary: usize, max_tokens: usize) -> Result<Self> {
        let fail = |reason: String| EncoderError::Tokenizer { path: path.to_path_buf(), reason };
        let mut inner = Tokenizer::from_bytes(json).map_err(|error| fail(format!("not a tokenizer: {error}")))?;
        let highest = inner.get_vocab(true).into_values().max();
        fits(path, highest.ok_or_else(|| fail("the vocabulary is empty".into()))?, vocabulary)?;
        let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        leaves_room(special, max_tokens).map_err(fail)?;
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams { max_length: max_tokens, ..Default::default() }))
            .map_err(|error| fail(error.to_string()))?;
        let library = Self(inner);
        // A trial run: what a tokenizer cannot do (a word without an unknown token, say) should show here.
        let trial = library.try_encode("The quick brown fox 1234 \u{4e2d}\u{1f642}");
        let trial = trial.map_err(|error| fail(error.to_string()))?;
        // The ids of the special tokens around a text are the post-processor's own, whatever the vocabulary says.
        fits(path, trial.ids.into_iter().max().unwrap_or(0), vocabulary)?;
        Ok(library)
    }

    /// Encodes a text; one that the library refuses becomes an empty one.
    pub fn encode(&self, text: &str) -> Encoded {
        self.try_encode(text).or_else(|_| self.try_encode("")).unwrap_or_default()
    }

    /// Encodes a text in words.
    pub fn encode_words(&self, words: &[impl AsRef<str>]) -> Encoded {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.try_encode(words).unwrap_or_default()
    }

    fn try_encode<'s>(&self, input: impl Into<EncodeInput<'s>>) -> tokenizers::Result<Encoded> {
        let encoding = self.0.encode_char_offsets(input, true)?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            words: encoding.get_word_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}
