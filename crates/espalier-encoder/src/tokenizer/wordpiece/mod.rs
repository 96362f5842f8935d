//! BERT's tokenizer: normalisation, words, and the longest tokens of a vocabulary, as the
//! tokenizers library has them.
//!
//! A text goes through it one character at a time (`normalize`, `finder`), from which words are
//! gathered (`words`) and cut into tokens (`tokens`). Nothing is kept but the word at hand, and it
//! ends as soon as the model's limit on tokens is reached.

mod added;
mod finder;
mod json;
mod lines;
mod normalize;
mod schema;
mod stored;
mod tables;
mod tokens;
mod unicode;
mod vocabulary;
mod words;

use super::{Encoded, leaves_room};
pub use stored::SerializedTokenizer;

use added::AddedTokens;
use finder::{Finder, Found};
use normalize::{Normalization, Normalizer};
use serde::{Deserialize, Serialize};
use tokens::Tokens;
use vocabulary::Vocabulary;
use words::Words;

/// BERT's tokenizer.
#[derive(Clone, Debug)]
pub struct WordPiece {
    settings: Settings,
    added: AddedTokens,
    vocabulary: Vocabulary,
}

/// All but the vocabulary.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    normalization: Normalization,
    /// Tokens that are looked for in the text as it stands, and their ids.
    added: Vec<(String, u32)>,
    /// Tokens that are looked for in the normalised text, and their ids.
    normalized: Vec<(String, u32)>,
    /// The id of words that have no tokens.
    unknown: u32,
    /// What tokens inside a word begin with.
    prefix: String,
    /// Words with more characters are unknown.
    longest_word: usize,
    /// The special tokens before a text.
    before: Vec<u32>,
    /// The special tokens after a text.
    after: Vec<u32>,
}

/// Why tokenizer.json is not read.
pub enum Refusal {
    /// It describes another tokenizer than BERT's: what differs.
    #[cfg_attr(feature = "tokenizers", expect(dead_code, reason = "the library reads it then"))]
    NotBert(String),
    /// It describes no tokenizer that works: what is wrong.
    Broken(String),
}

impl WordPiece {
    /// A tokenizer with these settings, in which no token is empty.
    fn new(settings: Settings, vocabulary: Vocabulary) -> Self {
        let added = AddedTokens::new(settings.added.clone());
        Self { settings, added, vocabulary }
    }

    /// The highest id that a text can get.
    pub fn highest_id(&self) -> u32 {
        let Settings { unknown, before, after, .. } = &self.settings;
        let found = self.added().map(|&(_, id)| id).chain(self.vocabulary.highest_id());
        found.chain(before.iter().chain(after).copied()).fold(*unknown, u32::max)
    }

    /// The id of an added token.
    pub fn added_id(&self, token: &str) -> Option<u32> {
        self.added().find(|(text, _)| text == token).map(|&(_, id)| id)
    }

    /// Whether an id is that of an added token or of one around every text.
    pub fn is_added(&self, id: u32) -> bool {
        let Settings { before, after, .. } = &self.settings;
        self.added().any(|&(_, added)| added == id)
            || before.iter().chain(after).any(|&special| special == id)
    }

    /// A token as the vocabulary has it.
    pub fn token(&self, id: u32) -> Option<&str> {
        let added = || self.added().find(|&&(_, added)| added == id).map(|(text, _)| text.as_str());
        self.vocabulary.token(id).or_else(added)
    }

    /// Added tokens with their ids.
    fn added(&self) -> impl Iterator<Item = &(String, u32)> {
        self.settings.added.iter().chain(&self.settings.normalized)
    }

    /// Encodes a text, cut to `max_tokens` tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Encoded {
        let mut encoder = Encoder::new(self, max_tokens, text.len());
        encoder.text(text);
        encoder.tokens.finish()
    }

    /// Encodes a text in words, cut to `max_tokens` tokens.
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

/// One text on its way through the tokenizer.
struct Encoder<'t> {
    added: &'t AddedTokens,
    normalizer: Normalizer,
    finder: Finder<'t>,
    words: Words,
    tokens: Tokens<'t>,
}

impl<'t> Encoder<'t> {
    fn new(tokenizer: &'t WordPiece, max_tokens: usize, bytes: usize) -> Self {
        Self {
            added: &tokenizer.added,
            normalizer: Normalizer::new(tokenizer.settings.normalization),
            finder: Finder::new(&tokenizer.settings.normalized),
            words: Words::new(tokenizer.settings.longest_word),
            tokens: Tokens::new(tokenizer, max_tokens, bytes),
        }
    }

    fn text(&mut self, text: &str) {
        let (mut rest, mut at) = (text, 0);
        while let Some((range, id)) = self.added.find(rest) {
            at = self.piece(&rest[..range.start], at);
            let end = at + rest[range.clone()].chars().count();
            self.tokens.added(id, (at, end));
            (rest, at) = (&rest[range.end..], end);
            if self.tokens.is_full() {
                return;
            }
        }
        self.piece(rest, at);
    }

    /// Takes a text without added tokens, whose first character is at `start`; returns where it
    /// ends.
    fn piece(&mut self, text: &str, start: usize) -> usize {
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

fn take(words: &mut Words, tokens: &mut Tokens, found: Found) {
    match found {
        Found::Character(c, origin) => words.push(c, origin, &mut |word| tokens.word(word)),
        Found::Token(id, span) => {
            words.flush(&mut |word| tokens.word(word));
            tokens.added(id, span);
        }
    }
}
