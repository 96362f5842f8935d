//! One head of one sequence: its scratch matrices and the products of these.

use crate::buffers::{as_u32, as_u32_mut};
use crate::dtype::Element;
use crate::simd::{LANES, madd};
use crate::transpose::transpose;
use std::hint::black_box;

/// Rows of C that a tile keeps in registers.
pub(super) const ROWS: usize = 8;

/// One head of one sequence. Scratch matrices are padded to whole vectors (l' tokens, width d'), so
/// no product has to handle an edge.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// First row of the sequence in the batch.
    pub(super) first: usize,
    /// l, tokens of the sequence.
    pub(super) length: usize,
    /// Index of the head.
    pub(super) head: usize,
    /// d, width of the head.
    pub(super) width: usize,
    /// l'.
    pub(super) padded_length: usize,
    /// d'.
    pub(super) padded_width: usize,
}

impl Head {
    /// The head's part (0: query, 1: key, 2: value) of row `token` of qkv [T, 3H].
    #[inline(always)]
    fn part<'a, E>(&self, qkv: &'a [E], layer_width: usize, part: usize, token: usize) -> &'a [E] {
        let start =
            (self.first + token) * 3 * layer_width + part * layer_width + self.head * self.width;
        &qkv[start..start + self.width]
    }

    /// Copies a part, scaled, to the first rows and columns of a matrix [l', d'], of which the rest
    /// becomes zero.
    #[inline(always)]
    pub(super) fn gather<E: Element>(
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
    pub(super) fn transpose(&self, from: &[f32], to: &mut [f32]) {
        let (length, width) = (self.padded_length, self.padded_width);
        transpose(as_u32(from), width, (length, width), as_u32_mut(to), length);
    }

    /// Length of the scratch for a bias, or its gradient, by distance: 0 without a bias.
    pub(super) fn distances(&self, bias: &[f32]) -> usize {
        if bias.is_empty() { 0 } else { 2 * self.length }
    }

    /// 1 / sqrt(d).
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// A matrix of which single elements are read: (i, k) at `data[i * row_stride + k *
/// column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

/// C [m, n] = A [m, k] B [k, n], or C += A B.
///
/// B and C have no gaps between rows; `m` is a multiple of [`ROWS`] and `n` of [`LANES`], so all
/// tiles are full.
#[inline(always)]
pub(super) fn product<const FMA: bool>(
    (m, k, n): (usize, usize, usize),
    a: Left,
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    assert!(
        m.is_multiple_of(ROWS) && n.is_multiple_of(LANES) && b.len() >= k * n && c.len() >= m * n
    );
    assert!(m * k == 0 || a.data.len() > (m - 1) * a.row_stride + (k - 1) * a.column_stride);
    // A compiler that knows this stride to be one vectorises down the rows instead of along them:
    // ten times slower.
    let row_stride = black_box(a.row_stride);
    for i in (0..m).step_by(ROWS) {
        for j in (0..n).step_by(LANES) {
            let mut tile = [[0.0f32; LANES]; ROWS];
            if accumulate {
                for (r, tile) in tile.iter_mut().enumerate() {
                    tile.copy_from_slice(&c[(i + r) * n + j..][..LANES]);
                }
            }
            for step in 0..k {
                // SAFETY: step < k and j + LANES <= n, so this is within the k * n elements that b
                // was asserted to have.
                let b =
                    unsafe { b.as_ptr().add(step * n + j).cast::<[f32; LANES]>().read_unaligned() };
                for (r, tile) in tile.iter_mut().enumerate() {
                    // SAFETY: i + r < m and step < k: not beyond the last element, which a was
                    // asserted to have.
                    let a = unsafe {
                        *a.data.get_unchecked((i + r) * row_stride + step * a.column_stride)
                    };
                    for (t, b) in tile.iter_mut().zip(b) {
                        *t = madd::<FMA>(a, b, *t);
                    }
                }
            }
            for (r, tile) in tile.iter().enumerate() {
                c[(i + r) * n + j..][..LANES].copy_from_slice(tile);
            }
        }
    }
}
