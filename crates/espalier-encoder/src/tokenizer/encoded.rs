//! An encoded text.

use std::ops::Range;

/// A text as token ids, with the word and the characters of each token.
///
/// ```
/// use espalier_encoder::Backbone;
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let tokenizer = Backbone::open(path.as_ref())?.tokenizer.clone();
/// let text = tokenizer.encode("to london!"); // [CLS] to london ! [SEP]
/// assert_eq!(text.word_ids, [None, Some(0), Some(1), Some(2), None]);
/// assert_eq!(text.spans[2], (3, 9));
/// assert_eq!(text.first_tokens(3), [Some(1), Some(2), Some(3)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, including special tokens.
    pub ids: Vec<u32>,
    /// For each token the index of its word; `None` for special tokens.
    pub word_ids: Vec<Option<u32>>,
    /// For each token its first character and the one after its last: in the text, or in its word
    /// if words were encoded.
    pub spans: Vec<(usize, usize)>,
    /// Whether tokens were cut off because the text is longer than the model takes.
    pub truncated: bool,
}

impl Encoded {
    /// For each of `count` words the index of its first token; `None` if it has none, because it
    /// was cut off or has only characters that the tokenizer drops.
    pub fn first_tokens(&self, count: usize) -> Vec<Option<usize>> {
        let mut first = vec![None; count];
        for (token, word) in self.word_ids.iter().enumerate() {
            if let Some(slot) = word.and_then(|word| first.get_mut(word as usize)) {
                slot.get_or_insert(token);
            }
        }
        first
    }

    /// For each of `count` words its tokens; `None` if it has none, or may have lost some because
    /// the text was cut off after it.
    pub fn word_to_tokens(&self, count: usize) -> Vec<Option<Range<usize>>> {
        let mut tokens: Vec<Option<Range<usize>>> = vec![None; count];
        for (token, word) in self.word_ids.iter().enumerate() {
            if let Some(slot) = word.and_then(|word| tokens.get_mut(word as usize)) {
                *slot = Some(slot.as_ref().map_or(token, |range| range.start)..token + 1);
            }
        }
        if let (true, Some(last)) = (self.truncated, tokens.iter().rposition(Option::is_some)) {
            tokens[last] = None;
        }
        tokens
    }

    /// For each word, by its index in [`Encoded::word_ids`], its first character and the one after
    /// its last.
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
