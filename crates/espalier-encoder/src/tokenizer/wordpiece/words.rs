//! Words as BERT sees them: between white space, and every punctuation mark on its own.

use super::unicode::is_punctuation;

/// A word with the way back to its characters.
#[derive(Debug, Default)]
pub struct Word {
    /// The word, or, when it has more characters than the vocabulary is asked about, as many as are
    /// asked about.
    pub text: String,
    /// For each byte of `text` the character that it comes from.
    pub origins: Vec<usize>,
    /// The first character that the word comes from, and the one after the last.
    pub span: (usize, usize),
    /// The number of characters.
    pub length: usize,
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

/// Gathers characters into words.
pub struct Words {
    word: Word,
    longest: usize,
}

impl Words {
    /// Characters of a word beyond the first `longest` are counted but not kept.
    pub fn new(longest: usize) -> Self {
        Self { word: Word::default(), longest }
    }

    /// Takes the next character and calls `emit` with a word that it ends.
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

    /// Ends the text and so its last word.
    pub fn flush(&mut self, emit: &mut impl FnMut(&Word)) {
        if self.word.length > 0 {
            emit(&self.word);
            self.word.clear();
        }
    }
}
