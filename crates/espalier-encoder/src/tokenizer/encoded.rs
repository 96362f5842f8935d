//! A text as token ids, with the way back to its words and characters.

use std::ops::Range;

/// A text as the encoder sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// For each token the index of its word, or `None` for special tokens.
    pub word_ids: Vec<Option<u32>>,
    /// For each token its first character and the one after its last: in the text, or, when words
    /// were given, in its word.
    pub spans: Vec<(usize, usize)>,
    /// Whether tokens were cut off because the text is longer than the model takes.
    pub truncated: bool,
}

impl Encoded {
    /// For each of `count` words the index of its first token, or `None` when it has none (cut off,
    /// or nothing but characters that the tokenizer drops).
    pub fn first_tokens(&self, count: usize) -> Vec<Option<usize>> {
        let mut first = vec![None; count];
        for (token, word) in self.word_ids.iter().enumerate() {
            if let Some(slot) = word.and_then(|word| first.get_mut(word as usize)) {
                slot.get_or_insert(token);
            }
        }
        first
    }

    /// For each of `count` words its tokens, or `None` when it has none or, as the last before a
    /// cut, perhaps not all of them.
    pub fn word_to_tokens(&self, count: usize) -> Vec<Option<Range<usize>>> {
        let mut tokens: Vec<Option<Range<usize>>> = vec![None; count];
        for (token, word) in self.word_ids.iter().enumerate() {
            if let Some(slot) = word.and_then(|word| tokens.get_mut(word as usize)) {
                *slot = Some(slot.as_ref().map_or(token, |range| range.start)..token + 1);
            }
        }
        if let (true, Some(cut)) = (self.truncated, tokens.iter().rposition(Option::is_some)) {
            tokens[cut] = None;
        }
        tokens
    }

    /// The words of a text: first character and the one after the last, by the index that
    /// [`Encoded::words`] uses.
    pub fn word_spans(&self) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        for (word, &(start, end)) in self.word_ids.iter().zip(&self.spans) {
            let Some(word) = word.map(|word| word as usize) else { continue };
            if word >= spans.len() {
                spans.resize(word + 1, (start, end));
            }
            spans[word].1 = end;
        }
        spans
    }
}
