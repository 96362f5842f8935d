//! The micro-kernel for Arm NEON: 8 x 12, that is 24 sums, 3 vectors of B and one broadcast of A in 32 registers.

use super::kernel::{MicroKernel, Tile};
use std::arch::aarch64::*;

const MR: usize = 8;
const LANES: usize = 4;

pub(super) struct Neon;

impl MicroKernel for Neon {
    const MR: usize = MR;
    const NR: usize = 3 * LANES;
    const LANES: usize = LANES;

    unsafe fn tile(tile: &Tile) {
        // SAFETY: every aarch64 processor that runs Rust's std has NEON; the tile is as `MicroKernel::tile` asks for
        // it.
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
#[target_feature(enable = "neon")]
unsafe fn tile_of<const V: usize>(tile: &Tile) {
    let mut sums = [[vdupq_n_f32(0.0); V]; MR];
    for (a, b) in tile.a.chunks_exact(MR).zip(tile.b.chunks_exact(V * LANES)) {
        let mut vectors = [vdupq_n_f32(0.0); V];
        for (v, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: `b` is V * LANES elements long.
            *vector = unsafe { vld1q_f32(b.as_ptr().add(v * LANES)) };
        }
        for i in 0..MR {
            for v in 0..V {
                sums[i][v] = vfmaq_n_f32(sums[i][v], vectors[v], a[i]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let product = vmulq_n_f32(sum, tile.alpha);
            // SAFETY: row i < MR and columns below V * LANES = width of the tile, which the caller lets us write.
            unsafe {
                let c = tile.c.add(i * tile.c_stride + v * LANES);
                vst1q_f32(c, if tile.add { vaddq_f32(vld1q_f32(c), product) } else { product });
            }
        }
    }
}
