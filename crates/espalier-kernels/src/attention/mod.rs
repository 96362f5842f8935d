//! Multi-head self-attention over a ragged batch, forward and backward.
//!
//! A batch is the concatenation of its sequences, so a token attends to the rows between its
//! sequence's two offsets and there is no mask. For one head of one sequence of l tokens, with d
//! the width of a head:
//!
//! ```text
//! S = Q K^T / sqrt(d) + B  [l, l]
//! P = softmax(S)           row by row
//! O = P V                  [l, d]
//! ```
//!
//! B is a bias by relative position ([`BUCKETS`]), or nothing. S and P exist only for a few rows at
//! a time, in scratch. The forward pass keeps each row's log-sum-exp, from which the backward pass
//! makes P again (as FlashAttention does, arXiv 2205.14135).

mod backward;
mod forward;
mod product;
mod relative;

pub use backward::{AttentionForward, attention_backward};
pub use forward::attention;
pub use relative::{BUCKETS, bucket};

use crate::buffers::{as_words, as_words_mut};
use crate::element::Element;
use crate::simd::LANES;
use crate::transpose::transpose;

/// Query rows whose scores exist at one time.
const QUERIES: usize = 32;

/// Shape of one attention problem.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape<'a> {
    /// Sequence s is rows `offsets[s]..offsets[s + 1]`; the last offset is T.
    pub offsets: &'a [usize],
    /// Number of heads.
    pub heads: usize,
    /// Width H of the layer, a multiple of `heads`.
    pub width: usize,
}

impl AttentionShape<'_> {
    /// d = H / heads.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// T, the number of tokens in the batch.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// One task per head of each sequence.
    fn tasks(&self) -> usize {
        self.offsets.len().saturating_sub(1) * self.heads
    }

    fn task(&self, index: usize) -> HeadTask {
        let (sequence, head) = (index / self.heads, index % self.heads);
        let (first, end) = (self.offsets[sequence], self.offsets[sequence + 1]);
        let (length, width) = (end - first, self.head_width());
        HeadTask {
            first,
            length,
            head,
            width,
            padded_length: length.next_multiple_of(LANES),
            padded_width: width.next_multiple_of(LANES),
        }
    }

    fn check<E>(&self, qkv: &[E], bias: &[f32], out: &[E], log_sum: &[f32]) {
        let tokens = self.tokens();
        assert!(
            self.heads > 0 && self.width.is_multiple_of(self.heads),
            "attention: width is not a multiple of heads"
        );
        assert!(self.offsets.is_sorted(), "attention: offsets decrease");
        assert!(
            qkv.len() == tokens * 3 * self.width
                && out.len() == tokens * self.width
                && log_sum.len() == tokens * self.heads
                && [0, BUCKETS * self.heads].contains(&bias.len()),
            "attention: shapes do not fit"
        );
    }
}

/// One head of one sequence. Scratch matrices are padded to whole vectors, so no kernel needs an
/// edge.
#[derive(Clone, Copy)]
struct HeadTask {
    first: usize,
    length: usize,
    head: usize,
    width: usize,
    padded_length: usize,
    padded_width: usize,
}

impl HeadTask {
    /// The task's part (0: query, 1: key, 2: value) of row `token` of qkv [T, 3H].
    #[inline(always)]
    fn part<'a, E>(&self, qkv: &'a [E], layer_width: usize, part: usize, token: usize) -> &'a [E] {
        let start =
            (self.first + token) * 3 * layer_width + part * layer_width + self.head * self.width;
        &qkv[start..start + self.width]
    }

    /// Copies a part, scaled, to the first rows and columns of a matrix, [l', d'], of which the
    /// rest becomes zero.
    #[inline(always)]
    fn gather<E: Element>(
        &self,
        qkv: &[E],
        layer_width: usize,
        part: usize,
        scale: f32,
        to: &mut [f32],
    ) {
        let (rows, padding) = to.split_at_mut(self.length * self.padded_width);
        for (token, row) in rows.chunks_exact_mut(self.padded_width).enumerate() {
            let (row, padding) = row.split_at_mut(self.width);
            for (to, from) in row.iter_mut().zip(self.part(qkv, layer_width, part, token)) {
                *to = from.to_f32() * scale;
            }
            if !padding.is_empty() {
                padding.fill(0.0);
            }
        }
        padding.fill(0.0);
    }

    /// Transposes a gathered part, [l', d'], to [d', l'].
    #[inline(always)]
    fn transpose(&self, from: &[f32], to: &mut [f32]) {
        let (length, width) = (self.padded_length, self.padded_width);
        transpose(as_words(from), width, (length, width), as_words_mut(to), length);
    }

    /// Numbers of scratch for a bias, or its gradient, by distance.
    fn distances(&self, bias: &[f32]) -> usize {
        if bias.is_empty() { 0 } else { 2 * self.length }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}
