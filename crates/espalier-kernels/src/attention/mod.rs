//! Multi-head self-attention over a ragged batch, forward and backward.
//!
//! A batch is the concatenation of its sequences, so a token attends to the rows between its
//! sequence's two offsets and there is no mask. For one head of one sequence of l tokens, with d
//! the width of a head (scaled dot-product attention, arXiv 1706.03762):
//!
//! ```text
//! S = Q K^T / sqrt(d) + B  [l, l]
//! P = softmax(S)           row by row
//! O = P V                  [l, d]
//! ```
//!
//! B is a relative position bias ([`BUCKETS`]), or absent. S and P exist only for a few rows at a
//! time, in scratch. The forward pass keeps each row's log-sum-exp, from which the backward pass
//! computes P again (as FlashAttention does, arXiv 2205.14135).

mod backward;
mod forward;
mod head;
mod relative_bias;
mod softmax;

pub use backward::{AttentionGradients, attention_backward};
pub use forward::attention;
pub use relative_bias::{BUCKETS, bucket};

use crate::simd::LANES;
use head::Head;

/// Query rows whose scores exist at one time.
const QUERIES: usize = 32;

/// The input of the attention of one layer, for a batch.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInput<'a, E> {
    /// Queries, keys and values, each row side by side, [T, 3H].
    pub qkv: &'a [E],
    /// Sequence s is rows `offsets[s]..offsets[s + 1]`; the last offset is T.
    pub offsets: &'a [usize],
    /// Number of heads.
    pub heads: usize,
    /// Width H of the layer, a multiple of `heads`.
    pub width: usize,
    /// The relative position bias, [[`BUCKETS`], heads], or empty for none.
    pub relative_bias: &'a [f32],
}

impl<E> AttentionInput<'_, E> {
    /// d = H / heads.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// T, the number of tokens in the batch.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Number of tasks: one per head of each sequence.
    fn tasks(&self) -> usize {
        self.offsets.len().saturating_sub(1) * self.heads
    }

    /// The head of the sequence that is task `index`.
    fn task(&self, index: usize) -> Head {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let (first, end) = (self.offsets[sequence], self.offsets[sequence + 1]);
        let (length, width) = (end - first, self.head_width());
        Head {
            first,
            length,
            head,
            width,
            padded_length: length.next_multiple_of(LANES),
            padded_width: width.next_multiple_of(LANES),
        }
    }

    /// # Panics
    /// If the shapes do not fit each other.
    fn check(&self, out: &[E], log_sum: &[f32]) {
        let tokens = self.tokens();
        assert!(
            self.heads > 0 && self.width.is_multiple_of(self.heads),
            "attention: width is not a multiple of heads"
        );
        assert!(self.offsets.is_sorted(), "attention: offsets decrease");
        assert!(
            self.qkv.len() == tokens * 3 * self.width
                && out.len() == tokens * self.width
                && log_sum.len() == tokens * self.heads
                && [0, BUCKETS * self.heads].contains(&self.relative_bias.len()),
            "attention: shapes do not fit"
        );
    }
}
