//! The micro-kernels on vector registers: a tile of `rows` x `vectors` sums, to which each step
//! adds a broadcast of A times vectors of B.

/// Defines the micro-kernel of one instruction set and precision, from the instructions that it is
/// made of:
///
/// - `type Vector`: what a register holds, `lanes` lanes
/// - `zero`: a vector of zeros
/// - `load(from)`: a vector from a `*const u32`
/// - `broadcast(lane)`: the same `u32` in all lanes
/// - `step(sum, a, b)`: sum + a b, lane by lane
/// - `store(to, sum)`: writes a vector to a `*mut f32`
///
/// `load` and `store` are unsafe: the macro promises that `lanes` numbers are there.
macro_rules! vector_kernel {
    (
        $(#[$meta:meta])*
        static $KERNEL:ident;
        features: $features:literal, rows: $rows:literal, vectors: $vectors:literal,
        lanes: $lanes:literal, offset: $offset:literal;
        type Vector = $vector:ty;
        zero = $zero:expr;
        load($from:ident) = $load:expr;
        broadcast($lane:ident) = $broadcast:expr;
        step($sum:ident, $a:ident, $b:ident) = $step:expr;
        store($to:ident, $stored:ident) = $store:expr;
    ) => {
        $(#[$meta])*
        pub(super) static $KERNEL: crate::gemm::kernels::MicroKernel = {
            use crate::gemm::kernels::{MicroKernel, Tile};

            const LANES: usize = $lanes;
            type Vector = $vector;

            #[inline]
            #[target_feature(enable = $features)]
            fn zero() -> Vector {
                $zero
            }

            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn load($from: *const u32) -> Vector {
                // SAFETY: the caller promises LANES readable numbers.
                unsafe { $load }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn broadcast($lane: u32) -> Vector {
                $broadcast
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn step($sum: Vector, $a: Vector, $b: Vector) -> Vector {
                $step
            }

            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn store($to: *mut f32, $stored: Vector) {
                // SAFETY: the caller promises LANES writable numbers.
                unsafe { $store }
            }

            /// # Safety
            /// As for `MicroKernel::tile`.
            unsafe fn tile(tile: &Tile) {
                // SAFETY: the caller promises the instruction set and a tile as
                // `MicroKernel::tile` asks for it.
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
                    // Missing rows are the last one again; nobody reads their sums.
                    // SAFETY: row i.min(rows - 1) is one of the tile's.
                    *row = unsafe { tile.a.add(i.min(tile.rows - 1) * tile.a_stride) };
                }
                let mut sums = [[zero(); V]; R];
                for lane in 0..tile.steps {
                    let mut b = [zero(); V];
                    for (v, b) in b.iter_mut().enumerate() {
                        // SAFETY: the panel has `steps` rows of V vectors.
                        *b = unsafe { load(tile.b.add((lane * V + v) * LANES)) };
                    }
                    for (row, sums) in rows.iter().zip(&mut sums) {
                        // SAFETY: each row of A has `steps` lanes.
                        let a = unsafe { row.add(lane * 4).cast::<u32>().read_unaligned() };
                        let a = broadcast(a);
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

            MicroKernel {
                rows: $rows,
                columns: $vectors * LANES,
                lanes: LANES,
                depth: 1,
                offset: $offset,
                tile,
                enter: || (),
                leave: || (),
            }
        };
    };
}
pub(super) use vector_kernel;
