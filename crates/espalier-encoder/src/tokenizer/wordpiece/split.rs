//! Normalised characters split into words, and words into tokens.
//!
//! Words are separated by whitespace, and every punctuation mark is a word. A word is split into
//! tokens from left to right, each the longest that is in the vocabulary.

use super::unicode::is_punctuation;
use super::{Encoded, Settings, WordPiece};

/// A word with the characters of the text from which it comes.
#[derive(Debug, Default)]
pub struct Word {
    /// The word, without the characters beyond the longest that is split into tokens.
    text: String,
    /// For each byte of `text` the character from which it comes.
    origins: Vec<usize>,
    /// The first character from which the word comes, and the one after the last.
    span: (usize, usize),
    /// Number of all its characters.
    length: usize,
}

impl Word {
    fn push(&mut self, c: char, origin: usize, longest: usize) {
        if self.length == 0 {
            self.span.0 = origin;
        }
        self.span.1 = origin + 1;
        self.length += 1;
        if self.length <= longest {
            self.text.push(c);
            self.origins.extend((0..c.len_utf8()).map(|_| origin));
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.origins.clear();
        self.length = 0;
    }
}

/// Collects characters into words.
pub struct WordSplitter {
    word: Word,
    longest: usize,
}

impl WordSplitter {
    /// Longer words are counted, but only their first `longest` characters are stored.
    pub fn new(longest: usize) -> Self {
        Self { word: Word::default(), longest }
    }

    /// Takes the next character, and calls `emit` with a word that it completes.
    pub fn push(&mut self, c: char, origin: usize, emit: &mut impl FnMut(&Word)) {
        if c.is_whitespace() {
            self.flush(emit);
        } else if is_punctuation(c) {
            self.flush(emit);
            self.word.push(c, origin, self.longest);
            self.flush(emit);
        } else {
            self.word.push(c, origin, self.longest);
        }
    }

    /// Ends the text, and with it the last word.
    pub fn flush(&mut self, emit: &mut impl FnMut(&Word)) {
        if self.word.length > 0 {
            emit(&self.word);
            self.word.clear();
        }
    }
}

/// Collects the tokens of a text.
pub struct TokenCollector<'t> {
    tokenizer: &'t WordPiece,
    encoded: Encoded,
    /// Number of tokens at most that leaves room for the special tokens after the text.
    limit: usize,
    /// The index of the given word that all tokens belong to, if words are encoded.
    pub given_word: Option<u32>,
    next_word: u32,
    pieces: Vec<Piece>,
    hashes: Vec<u32>,
}

/// A token of a word: its id, its first byte and the one after its last.
type Piece = (u32, usize, usize);

impl<'t> TokenCollector<'t> {
    /// Begins with the special tokens before a text of this many bytes.
    pub fn new(tokenizer: &'t WordPiece, max_tokens: usize, bytes: usize) -> Self {
        let Settings { before, after, .. } = &tokenizer.settings;
        // Most texts have at least four bytes per token.
        let likely = max_tokens.min(before.len() + bytes / 4 + after.len());
        let mut collector = Self {
            tokenizer,
            encoded: Encoded {
                ids: Vec::with_capacity(likely),
                word_ids: Vec::with_capacity(likely),
                spans: Vec::with_capacity(likely),
                truncated: false,
            },
            limit: max_tokens - after.len(),
            given_word: None,
            next_word: 0,
            pieces: Vec::new(),
            hashes: Vec::new(),
        };
        collector.special(before);
        collector
    }

    /// Whether a token has been cut off, so that no more are needed.
    pub fn is_full(&self) -> bool {
        self.encoded.truncated
    }

    /// Adds an added token, which is a word.
    pub fn added_token(&mut self, id: u32, span: (usize, usize)) {
        self.push(id, span);
        self.next_word += 1;
    }

    /// Adds the tokens of a word.
    pub fn word(&mut self, word: &Word) {
        if self.split(word) {
            for index in 0..self.pieces.len() {
                let (id, start, end) = self.pieces[index];
                self.push(id, (word.origins[start], word.origins[end - 1] + 1));
            }
        } else {
            self.push(self.tokenizer.settings.unknown, word.span);
        }
        self.next_word += 1;
    }

    /// Ends the text with its special tokens.
    pub fn finish(mut self) -> Encoded {
        self.special(&self.tokenizer.settings.after);
        self.encoded
    }

    /// Splits a word into `pieces`; false if the vocabulary does not have them.
    fn split(&mut self, word: &Word) -> bool {
        let WordPiece { settings: Settings { prefix, longest_word, .. }, vocabulary, .. } =
            self.tokenizer;
        self.pieces.clear();
        if word.length > *longest_word {
            return false;
        }
        let mut start = 0;
        while start < word.text.len() {
            let prefix = if start == 0 { "" } else { prefix };
            let Some((id, length)) =
                vocabulary.longest(prefix, &word.text[start..], &mut self.hashes)
            else {
                return false;
            };
            self.pieces.push((id, start, start + length));
            start += length;
        }
        true
    }

    fn push(&mut self, id: u32, span: (usize, usize)) {
        if self.encoded.ids.len() == self.limit {
            self.encoded.truncated = true;
        } else if !self.is_full() {
            self.encoded.ids.push(id);
            self.encoded.word_ids.push(Some(self.given_word.unwrap_or(self.next_word)));
            self.encoded.spans.push(span);
        }
    }

    fn special(&mut self, ids: &[u32]) {
        self.encoded.ids.extend_from_slice(ids);
        self.encoded.word_ids.resize(self.encoded.ids.len(), None);
        self.encoded.spans.resize(self.encoded.ids.len(), (0, 0));
    }
}
