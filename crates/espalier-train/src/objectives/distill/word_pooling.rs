//! Vectors of words out of those of their tokens.

use std::ops::Range;

/// Words of a batch, each by the rows of its tokens: its vector is their mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordPooling {
    /// Tokens of each word, none of them empty.
    pub tokens: Vec<Range<usize>>,
}

impl WordPooling {
    /// Word vectors [n, H] of token vectors `hidden` [T, H].
    ///
    /// # Panics
    /// If a word lies outside of the batch.
    pub fn forward(&self, hidden: &[f32], width: usize) -> Vec<f32> {
        let mut words = vec![0.0; self.tokens.len() * width];
        for (tokens, word) in self.tokens.iter().zip(words.chunks_exact_mut(width)) {
            for token in hidden[tokens.start * width..tokens.end * width].chunks_exact(width) {
                word.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
            word.iter_mut().for_each(|sum| *sum /= tokens.len() as f32);
        }
        words
    }

    /// Adds to `d_hidden` [T, H] the gradient by that at the word vectors, `d_words` [n, H].
    ///
    /// # Panics
    /// As [`WordPooling::forward`].
    pub fn backward(&self, d_words: &[f32], width: usize, d_hidden: &mut [f32]) {
        for (tokens, d_word) in self.tokens.iter().zip(d_words.chunks_exact(width)) {
            for d_token in
                d_hidden[tokens.start * width..tokens.end * width].chunks_exact_mut(width)
            {
                d_token.iter_mut().zip(d_word).for_each(|(sum, d)| *sum += d / tokens.len() as f32);
            }
        }
    }
}
