//! Words cut into tokens: the longest that the vocabulary has, from left to right.

use super::words::Word;
use super::{Encoded, Settings, WordPiece};

/// The tokens of a text, as they are found.
pub struct Tokens<'t> {
    tokenizer: &'t WordPiece,
    encoded: Encoded,
    /// As many as leave room for the special tokens after the text.
    most: usize,
    /// The word that all tokens belong to, when the text came in words.
    pub given_word: Option<u32>,
    next_word: u32,
    pieces: Vec<Piece>,
    hashes: Vec<u32>,
}

/// A part of a word: its id, its first byte and the one after its last.
type Piece = (u32, usize, usize);

impl<'t> Tokens<'t> {
    /// The special tokens before a text of so many bytes.
    pub fn new(tokenizer: &'t WordPiece, max_tokens: usize, bytes: usize) -> Self {
        let Settings { before, after, .. } = &tokenizer.settings;
        // Tokens of most texts have four bytes and more.
        let likely = max_tokens.min(before.len() + bytes / 4 + after.len());
        let mut tokens = Self {
            tokenizer,
            encoded: Encoded {
                ids: Vec::with_capacity(likely),
                word_ids: Vec::with_capacity(likely),
                spans: Vec::with_capacity(likely),
                truncated: false,
            },
            most: max_tokens - after.len(),
            given_word: None,
            next_word: 0,
            pieces: Vec::new(),
            hashes: Vec::new(),
        };
        tokens.special(before);
        tokens
    }

    /// Whether a token has been cut off, after which none counts.
    pub fn is_full(&self) -> bool {
        self.encoded.truncated
    }

    /// Takes an added token, which is a word.
    pub fn added(&mut self, id: u32, span: (usize, usize)) {
        self.push(id, span);
        self.next_word += 1;
    }

    /// Takes a word.
    pub fn word(&mut self, word: &Word) {
        if self.cut(word) {
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

    /// Cuts a word into `pieces`, or returns false when the vocabulary does not have them.
    fn cut(&mut self, word: &Word) -> bool {
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
        if self.encoded.ids.len() == self.most {
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
