//! Ragged batches: the tokens of several sequences, one after the other, without padding.

use crate::tokenizer::Encoded;
use std::ops::Range;

/// T tokens of n sequences.
///
/// ```
/// use espalier_encoder::Batch;
///
/// let batch = Batch::new([[101, 7, 102].as_slice(), &[101, 102]]);
/// assert_eq!((batch.tokens(), batch.sequences()), (5, 2));
/// assert_eq!(batch.positions, [0, 1, 2, 0, 1]);
/// assert_eq!(batch.sequence(1), 3..5);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, `[T]`.
    pub ids: Vec<u32>,
    /// Position of each token in its sequence, `[T]`.
    pub positions: Vec<u32>,
    /// Sequence s is tokens `offsets[s]..offsets[s + 1]`, [n + 1].
    pub offsets: Vec<usize>,
}

impl Batch {
    /// Concatenates sequences of token ids.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self { ids: Vec::new(), positions: Vec::new(), offsets: vec![0] };
        for sequence in sequences {
            batch.ids.extend_from_slice(sequence);
            batch.positions.extend(0..sequence.len() as u32);
            batch.offsets.push(batch.ids.len());
        }
        batch
    }

    /// Concatenates encoded texts.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a Encoded>) -> Self {
        Self::new(texts.into_iter().map(|text| text.ids.as_slice()))
    }

    /// T, the number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// n, the number of sequences.
    pub fn sequences(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The tokens of sequence s.
    pub fn sequence(&self, s: usize) -> Range<usize> {
        self.offsets[s]..self.offsets[s + 1]
    }

    /// Consecutive sequences as a batch of their own.
    pub fn slice(&self, sequences: Range<usize>) -> Self {
        let (start, end) = (self.offsets[sequences.start], self.offsets[sequences.end]);
        let offsets = self.offsets[sequences.start..=sequences.end]
            .iter()
            .map(|offset| offset - start)
            .collect();
        Self {
            ids: self.ids[start..end].to_vec(),
            positions: self.positions[start..end].to_vec(),
            offsets,
        }
    }

    /// The rows of sequence s in `values` [T, width].
    pub fn rows<'v>(&self, s: usize, values: &'v [f32], width: usize) -> &'v [f32] {
        &values[self.offsets[s] * width..self.offsets[s + 1] * width]
    }
}
