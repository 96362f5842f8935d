//! The micro-kernel for AVX-512: 8 x 48, that is 24 sums, 3 vectors of B and broadcasts of A from memory in 32
//! registers.

use super::kernel::{MicroKernel, Tile};
use std::arch::x86_64::*;

const MR: usize = 8;
const LANES: usize = 16;

pub(super) struct Avx512;

impl MicroKernel for Avx512 {
    const MR: usize = MR;
    const NR: usize = 3 * LANES;
    const LANES: usize = LANES;

    unsafe fn tile(tile: &Tile) {
        // SAFETY: the caller promises AVX-512F, and a tile as `MicroKernel::tile` asks for it.
        unsafe {
            match tile.width / LANES {
                1 => tile_of::<1>(tile),
                2 => tile_of::<2>(tile),
                _ => tile_of::<3>(tile),
            }
        }
    }
}

/// The tile of V vectors' width.
///
/// # Safety
/// `tile.width` is V * LANES, and `tile.c` points to MR rows of that many writable elements.
#[target_feature(enable = "avx512f")]
unsafe fn tile_of<const V: usize>(tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); V]; MR];
    for (a, b) in tile.a.chunks_exact(MR).zip(tile.b.chunks_exact(V * LANES)) {
        let mut vectors = [_mm512_setzero_ps(); V];
        for (v, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: `b` is V * LANES elements long.
            *vector = unsafe { _mm512_loadu_ps(b.as_ptr().add(v * LANES)) };
        }
        for i in 0..MR {
            let a = _mm512_set1_ps(a[i]);
            for v in 0..V {
                sums[i][v] = _mm512_fmadd_ps(a, vectors[v], sums[i][v]);
            }
        }
    }
    let alpha = _mm512_set1_ps(tile.alpha);
    for (i, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let product = _mm512_mul_ps(alpha, sum);
            // SAFETY: row i < MR and columns below V * LANES = width of the tile, which the caller lets us write.
            unsafe {
                let c = tile.c.add(i * tile.c_stride + v * LANES);
                _mm512_storeu_ps(c, if tile.add { _mm512_add_ps(_mm512_loadu_ps(c), product) } else { product });
            }
        }
    }
}
