//! Products of the small matrices inside one head.

use crate::simd::{LANES, madd};
use std::hint::black_box;

/// Rows of C that a tile keeps in registers.
pub(super) const ROWS: usize = 8;

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
/// tiles are whole.
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
