//! The micro-kernel in plain Rust: vectorises on any machine, and is what Miri can check.

use super::kernel::{MicroKernel, Tile};

const MR: usize = 4;
const NR: usize = 8;

pub(super) struct Portable;

impl MicroKernel for Portable {
    const MR: usize = MR;
    const NR: usize = NR;
    const LANES: usize = NR;

    unsafe fn tile(tile: &Tile) {
        let mut sums = [[0.0f32; NR]; MR];
        for (a, b) in tile.a.chunks_exact(MR).zip(tile.b.chunks_exact(NR)) {
            for i in 0..MR {
                for j in 0..NR {
                    sums[i][j] += a[i] * b[j];
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: the caller promises MR rows of `width` = NR writable elements, `c_stride` apart.
            let c = unsafe { std::slice::from_raw_parts_mut(tile.c.add(i * tile.c_stride), NR) };
            for (c, sum) in c.iter_mut().zip(sums) {
                let product = tile.alpha * sum;
                *c = if tile.add { *c + product } else { product };
            }
        }
    }
}
