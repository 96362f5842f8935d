//! BERT's tokenizer as packed backbones hold it.

use super::vocabulary::Vocabulary;
use super::{Settings, WordPiece, leaves_room};
use std::borrow::Cow;
use std::str;

/// BERT's tokenizer in pieces of which only the small one has to be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerializedTokenizer<'a> {
    /// All but the vocabulary, JSON.
    pub settings: Cow<'a, [u8]>,
    /// All tokens, one after the other, UTF-8.
    pub text: Cow<'a, [u8]>,
    /// For each token the byte of the text after its last, and its id.
    pub tokens: Cow<'a, [[u32; 2]]>,
}

impl WordPiece {
    /// The tokenizer as it is stored.
    pub fn serialize(&self) -> SerializedTokenizer<'_> {
        let (text, tokens) = self.vocabulary.pieces();
        // Numbers and texts can always be written.
        let settings = serde_json::to_vec(&self.settings).unwrap_or_default();
        SerializedTokenizer {
            settings: settings.into(),
            text: text.as_bytes().into(),
            tokens: tokens.collect(),
        }
    }

    /// Reads a tokenizer for a model that takes `max_tokens` tokens.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_serialized(
        stored: &SerializedTokenizer,
        max_tokens: usize,
    ) -> Result<Self, String> {
        let settings: Settings = serde_json::from_slice(&stored.settings)
            .map_err(|error| format!("settings: {error}"))?;
        leaves_room(settings.before.len() + settings.after.len(), max_tokens)?;
        if settings.added.iter().chain(&settings.normalized).any(|(token, _)| token.is_empty()) {
            return Err("an added token is empty".into());
        }
        let text =
            str::from_utf8(&stored.text).map_err(|error| format!("the vocabulary: {error}"))?;
        Ok(Self::new(settings, Vocabulary::of_pieces(text, &stored.tokens)?))
    }
}
