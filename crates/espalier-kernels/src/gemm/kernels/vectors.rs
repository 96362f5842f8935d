//! The tile of every kernel on vector registers: `rows` x `vectors` sums, broadcasts of A, vectors
//! of B.

/// Writes `KERNEL` for a module that defines, for its instruction set, the type `Vector` and the
/// functions `zero()`, `load(*const u32)`, `splat(u32)`, `step(sum, a, b)` and `store(*mut f32,
/// sum)`.
macro_rules! vector_kernel {
    (features: $features:literal, rows: $rows:literal, vectors: $vectors:literal, lanes: $lanes:literal, offset: $offset:literal) => {
        use crate::gemm::kernel::{MicroKernel, Tile};

        const LANES: usize = $lanes;

        pub(super) static KERNEL: MicroKernel = MicroKernel {
            rows: $rows,
            columns: $vectors * LANES,
            lanes: LANES,
            depth: 1,
            offset: $offset,
            tile,
            enter: || (),
            leave: || (),
        };

        /// # Safety
        /// As for `MicroKernel::tile`.
        unsafe fn tile(tile: &Tile) {
            // SAFETY: the caller promises the instruction set and a tile as `MicroKernel::tile`
            // asks for it.
            unsafe {
                match tile.width / LANES {
                    1 => tile_of_width::<1>(tile),
                    2 => tile_of_width::<2>(tile),
                    _ => tile_of_width::<$vectors>(tile),
                }
            }
        }

        /// Few rows get a tile of their own: a single text has few.
        ///
        /// # Safety
        /// As for `MicroKernel::tile`, and the tile is V vectors wide.
        unsafe fn tile_of_width<const V: usize>(tile: &Tile) {
            // SAFETY: as promised by the caller; the tile's rows are at most the kernel's.
            unsafe {
                match tile.rows {
                    1 => tile_of::<1, V>(tile),
                    2 => tile_of::<2, V>(tile),
                    3 | 4 => tile_of::<4, V>(tile),
                    _ => tile_of::<$rows, V>(tile),
                }
            }
        }

        /// # Safety
        /// As for `MicroKernel::tile`; the tile is V vectors wide and has at most R rows.
        #[target_feature(enable = $features)]
        unsafe fn tile_of<const R: usize, const V: usize>(tile: &Tile) {
            let mut rows = [tile.a; R];
            for (i, row) in rows.iter_mut().enumerate() {
                // Rows that are not there are the last one again; nobody reads their sums.
                // SAFETY: row i.min(rows - 1) is one of the tile's.
                *row = unsafe { tile.a.add(i.min(tile.rows - 1) * tile.a_stride) };
            }
            let mut sums = [[zero(); V]; R];
            for word in 0..tile.steps {
                let mut b = [zero(); V];
                for (v, b) in b.iter_mut().enumerate() {
                    // SAFETY: the panel has `steps` rows of V vectors.
                    *b = unsafe { load(tile.b.add((word * V + v) * LANES)) };
                }
                for (row, sums) in rows.iter().zip(&mut sums) {
                    // SAFETY: each row of A has `steps` words.
                    let a = splat(unsafe { row.add(word * 4).cast::<u32>().read_unaligned() });
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        *sum = step(*sum, a, b);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    // SAFETY: R * V vectors are no more than MAX_TILE numbers.
                    unsafe { store(tile.sums.add((i * V + v) * LANES), sum) };
                }
            }
        }
    };
}
pub(super) use vector_kernel;
