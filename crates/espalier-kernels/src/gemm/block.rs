//! One task's share of a product: a block of C, walked tile by tile over packed panels.

use super::Start;
use super::kernel::{MicroKernel, Tile};
use super::matrix::Matrix;
use super::pack::pack;
use super::scratch::with_scratch;
use std::ops::Range;

/// Steps along k between two visits to C: a panel of A stays in the first-level cache.
///
/// The sums of an element are cut here, so that this number is part of what a product is, bit by bit.
const KC: usize = 384;
/// Pieces of k are multiples of this, which suits packing.
const STEPS: usize = 16;

/// C = start + alpha * A B, with C as a bare pointer because tasks on several threads write parts of it.
pub(super) struct Product<'a> {
    pub alpha: f32,
    pub a: Matrix<'a>,
    pub b: Matrix<'a>,
    pub start: Start<'a>,
    pub c: *mut f32,
    pub c_stride: usize,
}

// SAFETY: everything but `c` is shared read-only; what is behind `c` is only touched by `Product::block`, whose
// callers promise that no two concurrent calls share an element.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Computes the block `rows` x `cols` of C with the kernel K; k is not zero.
    ///
    /// # Safety
    /// The processor has K's instructions. The block lies inside C, and nothing else touches it meanwhile.
    pub unsafe fn block<K: MicroKernel>(&self, rows: Range<usize>, cols: Range<usize>) {
        let k = self.a.cols();
        let step = even_step(k, KC, STEPS);
        let width = cols.len().next_multiple_of(K::LANES);
        with_scratch(step * (K::MR + width), |scratch| {
            for first in (0..k).step_by(step) {
                let depth = step.min(k - first);
                let (b, rest) = scratch.split_at_mut(depth * width); // B first: it is the one read by whole vectors
                let a = &mut rest[..depth * K::MR];
                // Panels of B, each [depth, NR] but for a narrower last one.
                for (j, b) in cols.clone().step_by(K::NR).zip(b.chunks_mut(depth * K::NR)) {
                    pack(self.b.t().block(j, first, K::NR.min(cols.end - j), depth), b);
                }
                for i in rows.clone().step_by(K::MR) {
                    let height = K::MR.min(rows.end - i);
                    pack(self.a.block(i, first, height, depth), a);
                    for (j, b) in cols.clone().step_by(K::NR).zip(b.chunks(depth * K::NR)) {
                        let at = Place { i, j, rows: height, cols: K::NR.min(cols.end - j), first: first == 0 };
                        // SAFETY: the tile lies inside the block; the rest is promised by the caller.
                        unsafe { self.tile::<K>(at, a, b) };
                    }
                }
            }
        });
    }

    /// Computes one tile from its packed panels; at the edges of C through a buffer, of which only the inner part is
    /// kept.
    ///
    /// # Safety
    /// As for `block`.
    unsafe fn tile<K: MicroKernel>(&self, at: Place, a: &[f32], b: &[f32]) {
        let width = b.len() / (a.len() / K::MR);
        // SAFETY: the tile's first element lies inside C.
        let c = unsafe { self.c.add(at.i * self.c_stride + at.j) };
        // SAFETY: row r of the tile is inside C, and ours alone.
        let row = |r: usize| unsafe { std::slice::from_raw_parts_mut(c.add(r * self.c_stride), at.cols) };
        let add = match self.start {
            Start::Bias(bias) if at.first => {
                (0..at.rows).for_each(|r| row(r).copy_from_slice(&bias[at.j..at.j + at.cols]));
                true
            }
            Start::Zero => !at.first,
            _ => true,
        };
        if at.rows == K::MR && at.cols == width {
            let tile = Tile { alpha: self.alpha, a, b, width, c, c_stride: self.c_stride, add };
            // SAFETY: the tile is full, so all of it lies inside C.
            unsafe { K::tile(&tile) };
            return;
        }
        let mut buffer = [0.0f32; MAX_TILE];
        assert!(K::MR * width <= MAX_TILE);
        let tile = Tile { alpha: self.alpha, a, b, width, c: buffer.as_mut_ptr(), c_stride: width, add: false };
        // SAFETY: the buffer holds MR rows of `width` elements, as just checked.
        unsafe { K::tile(&tile) };
        for (r, products) in buffer.chunks_exact(width).take(at.rows).enumerate() {
            for (c, product) in row(r).iter_mut().zip(products) {
                *c = if add { *c + product } else { *product };
            }
        }
    }
}

/// Elements of the largest tile of any kernel (8 x 48).
const MAX_TILE: usize = 384;

/// Where a tile lies in C, how much of it is inside, and whether it is C's first visit.
struct Place {
    i: usize,
    j: usize,
    rows: usize,
    cols: usize,
    first: bool,
}

/// The length, a multiple of `unit`, that cuts `total` > 0 into as few even pieces as pieces of at most `longest`
/// would.
pub(super) fn even_step(total: usize, longest: usize, unit: usize) -> usize {
    total.div_ceil(total.div_ceil(longest)).next_multiple_of(unit)
}
