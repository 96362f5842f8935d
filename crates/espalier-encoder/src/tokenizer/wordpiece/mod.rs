//! BERT's tokenizer: normalisation, words, and the longest tokens of a vocabulary. It gives the
//! same tokens as the `tokenizers` library.
//!
//! A text goes through it one character at a time: added tokens are found (`added_tokens`),
//! characters are normalised (`normalize`), collected into words and split into tokens (`split`).
//! Only the current word is buffered, and encoding ends when the limit of tokens is reached.

mod added_tokens;
mod json;
mod normalize;
mod schema;
mod split;
mod tables;
mod unicode;
mod vocab_txt;
mod vocabulary;

use super::{Encoded, check_special_tokens};
use added_tokens::{AddedTokens, Found, NormalizedFinder};
use normalize::{Normalization, Normalizer};
use serde::{Deserialize, Serialize};
use split::{TokenCollector, WordSplitter};
use std::borrow::Cow;
use std::str;
use vocabulary::Vocabulary;

/// BERT's tokenizer.
#[derive(Clone, Debug)]
pub struct WordPiece {
    settings: Settings,
    added: AddedTokens,
    vocabulary: Vocabulary,
}

/// Everything but the vocabulary. Its JSON is part of the format of packed backbones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    normalization: Normalization,
    /// Added tokens that are searched for in the text as it is, with their ids.
    added: Vec<(String, u32)>,
    /// Added tokens that are searched for in the normalised text, with their ids.
    normalized: Vec<(String, u32)>,
    /// The id of the unknown token.
    unknown: u32,
    /// The prefix of tokens inside a word.
    prefix: String,
    /// Words with more characters are unknown.
    longest_word: usize,
    /// The ids of the special tokens before a text.
    before: Vec<u32>,
    /// The ids of the special tokens after a text.
    after: Vec<u32>,
}

/// Why a tokenizer.json is not read.
pub enum ParseError {
    /// It describes another tokenizer than BERT's: what differs.
    #[cfg_attr(feature = "tokenizers", expect(dead_code, reason = "the library reads it then"))]
    NotBert(String),
    /// It does not describe a tokenizer: what is wrong.
    Invalid(String),
}

impl WordPiece {
    /// A tokenizer with these settings, in which no added token may be empty.
    fn new(settings: Settings, vocabulary: Vocabulary) -> Self {
        let added = AddedTokens::new(settings.added.clone());
        Self { settings, added, vocabulary }
    }

    /// The highest id that a token can have.
    pub fn highest_id(&self) -> u32 {
        let Settings { unknown, before, after, .. } = &self.settings;
        let found = self.added().map(|&(_, id)| id).chain(self.vocabulary.highest_id());
        found.chain(before.iter().chain(after).copied()).fold(*unknown, u32::max)
    }

    /// The id of an added token.
    pub fn added_id(&self, token: &str) -> Option<u32> {
        self.added().find(|(text, _)| text == token).map(|&(_, id)| id)
    }

    /// Whether an id is that of an added token or of a special token around every text.
    pub fn is_added(&self, id: u32) -> bool {
        let Settings { before, after, .. } = &self.settings;
        self.added().any(|&(_, added)| added == id)
            || before.iter().chain(after).any(|&special| special == id)
    }

    /// The token with an id, as it is in the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        let added = || self.added().find(|&&(_, added)| added == id).map(|(text, _)| text.as_str());
        self.vocabulary.token(id).or_else(added)
    }

    /// Added tokens with their ids.
    fn added(&self) -> impl Iterator<Item = &(String, u32)> {
        self.settings.added.iter().chain(&self.settings.normalized)
    }

    /// Encodes a text, truncated to `max_tokens` tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Encoded {
        let mut encoder = Encoder::new(self, max_tokens, text.len());
        encoder.text(text);
        encoder.tokens.finish()
    }

    /// Encodes words, truncated to `max_tokens` tokens.
    pub fn encode_words(&self, words: &[impl AsRef<str>], max_tokens: usize) -> Encoded {
        let bytes = words.iter().map(|word| word.as_ref().len()).sum();
        let mut encoder = Encoder::new(self, max_tokens, bytes);
        for (index, word) in (0..).zip(words) {
            encoder.tokens.given_word = Some(index);
            encoder.text(word.as_ref());
            if encoder.tokens.is_full() {
                break;
            }
        }
        encoder.tokens.finish()
    }
}

/// A tokenizer as it is in a packed backbone: only the settings, which are short, must be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerializedTokenizer<'a> {
    /// Everything but the vocabulary, JSON.
    pub settings: Cow<'a, [u8]>,
    /// All tokens, one after the other, UTF-8.
    pub text: Cow<'a, [u8]>,
    /// For each token the byte of `text` after its last, and its id.
    pub tokens: Cow<'a, [[u32; 2]]>,
}

impl WordPiece {
    /// The tokenizer for a packed backbone.
    pub fn serialize(&self) -> SerializedTokenizer<'_> {
        let (text, tokens) = self.vocabulary.pieces();
        // Numbers and strings can always be serialized.
        let settings = serde_json::to_vec(&self.settings).unwrap_or_default();
        SerializedTokenizer {
            settings: settings.into(),
            text: text.as_bytes().into(),
            tokens: tokens.collect(),
        }
    }

    /// The inverse of [`WordPiece::serialize`], for a model that takes `max_tokens` tokens.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_serialized(
        serialized: &SerializedTokenizer,
        max_tokens: usize,
    ) -> Result<Self, String> {
        let settings: Settings = serde_json::from_slice(&serialized.settings)
            .map_err(|error| format!("settings: {error}"))?;
        check_special_tokens(settings.before.len() + settings.after.len(), max_tokens)?;
        if settings.added.iter().chain(&settings.normalized).any(|(token, _)| token.is_empty()) {
            return Err("an added token is empty".into());
        }
        let text =
            str::from_utf8(&serialized.text).map_err(|error| format!("the vocabulary: {error}"))?;
        Ok(Self::new(settings, Vocabulary::from_pieces(text, &serialized.tokens)?))
    }
}

/// The state of encoding one text.
struct Encoder<'t> {
    added: &'t AddedTokens,
    normalizer: Normalizer,
    finder: NormalizedFinder<'t>,
    words: WordSplitter,
    tokens: TokenCollector<'t>,
}

impl<'t> Encoder<'t> {
    fn new(tokenizer: &'t WordPiece, max_tokens: usize, bytes: usize) -> Self {
        Self {
            added: &tokenizer.added,
            normalizer: Normalizer::new(tokenizer.settings.normalization),
            finder: NormalizedFinder::new(&tokenizer.settings.normalized),
            words: WordSplitter::new(tokenizer.settings.longest_word),
            tokens: TokenCollector::new(tokenizer, max_tokens, bytes),
        }
    }

    fn text(&mut self, text: &str) {
        let (mut rest, mut at) = (text, 0);
        while let Some((range, id)) = self.added.find(rest) {
            at = self.plain_text(&rest[..range.start], at);
            let end = at + rest[range.clone()].chars().count();
            self.tokens.added_token(id, (at, end));
            (rest, at) = (&rest[range.end..], end);
            if self.tokens.is_full() {
                return;
            }
        }
        self.plain_text(rest, at);
    }

    /// Encodes text without added tokens that begins at the character `start`; returns the
    /// character after its last.
    fn plain_text(&mut self, text: &str, start: usize) -> usize {
        let Self { normalizer, finder, words, tokens, .. } = self;
        let mut at = start;
        for c in text.chars() {
            normalizer.push(c, at, &mut |c, origin| {
                finder.push(c, origin, &mut |found| take(words, tokens, found))
            });
            at += 1;
            if tokens.is_full() {
                return at;
            }
        }
        normalizer.flush(&mut |c, origin| {
            finder.push(c, origin, &mut |found| take(words, tokens, found))
        });
        finder.flush(&mut |found| take(words, tokens, found));
        words.flush(&mut |word| tokens.word(word));
        at
    }
}

fn take(words: &mut WordSplitter, tokens: &mut TokenCollector, found: Found) {
    match found {
        Found::Character(c, origin) => words.push(c, origin, &mut |word| tokens.word(word)),
        Found::Token(id, span) => {
            words.flush(&mut |word| tokens.word(word));
            tokens.added_token(id, span);
        }
    }
}
