//! What an instruction set has to provide for one precision, and the choice among those that the
//! machine offers.

use super::kernels;
use crate::precision::Precision;
use std::sync::OnceLock;

/// Numbers in the largest tile of any kernel (AMX: 32 x 32).
pub(crate) const MAX_TILE: usize = 1024;
/// Columns of the widest tile of any kernel (AVX-512: three vectors of 16).
pub(crate) const MAX_COLUMNS: usize = 48;

/// One small product: sums [rows, width] = rows of A * a panel of B, over the whole inner
/// dimension.
///
/// Operands are read as 32-bit words: one f32, two bf16 or four bytes that are neighbours along the
/// inner dimension.
pub(super) struct Tile {
    /// First word of the first row of A; rows are `a_stride` bytes apart and need no alignment.
    pub a: *const u8,
    /// Distance between rows of A, bytes.
    pub a_stride: usize,
    /// Rows of A that there are, 1 to the kernel's `rows`.
    pub rows: usize,
    /// A panel of B, [steps, width] words.
    pub b: *const u32,
    /// Columns of the panel: a multiple of the kernel's `lanes`, at most its `columns`.
    pub width: usize,
    /// Words along the inner dimension: a multiple of the kernel's `depth`.
    pub steps: usize,
    /// Where the sums go, [rows, width]: f32, or i32 in the same memory for products of bytes. The
    /// kernel may write all of [`MAX_TILE`] numbers.
    pub sums: *mut f32,
}

/// The innermost product, kept in registers.
///
/// All kernels of f32 compute a sum the same way: from zero, in the order of the inner dimension.
/// Those with fused multiply-add hence agree bit by bit, and so do all kernels of bytes, whose sums
/// are exact.
pub(super) struct MicroKernel {
    /// Rows of a full tile.
    pub rows: usize,
    /// Columns of a full tile.
    pub columns: usize,
    /// Columns of the narrowest tile; `columns` is a multiple of it.
    pub lanes: usize,
    /// Words that the kernel takes along the inner dimension at a time.
    pub depth: usize,
    /// What the kernel subtracts from each byte of A before it multiplies (products of bytes only).
    pub offset: i32,
    /// Computes a tile.
    ///
    /// # Safety
    /// The processor has the kernel's instructions; the tile's pointers reach as far as [`Tile`]
    /// says; the call lies between `enter` and `leave` on one thread.
    pub tile: unsafe fn(&Tile),
    /// Prepares the thread for tiles.
    ///
    /// # Safety
    /// The processor has the kernel's instructions.
    pub enter: unsafe fn(),
    /// Undoes `enter`.
    ///
    /// # Safety
    /// As for `enter`.
    pub leave: unsafe fn(),
}

/// The micro-kernels that exist for this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// Plain Rust.
    Portable,
    /// 256-bit vectors: f32 with fused multiply-add, bytes by multiply-and-add of pairs.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors: f32, bf16 where AVX512_BF16 is there, bytes where AVX512_VNNI is.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Tiles of 16 x 64 bytes: bf16 and bytes.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// The kernel of [`Kernel::Amx`] with its tile instructions played by plain Rust: never chosen,
    /// but tested everywhere.
    #[cfg(target_arch = "x86_64")]
    AmxEmulated,
    /// 128-bit vectors: f32 with fused multiply-add, bytes where the dot-product instructions are
    /// there.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// Those of a precision that this machine can run, the fastest last.
    pub fn available(precision: Precision) -> &'static [Kernel] {
        static FOUND: OnceLock<[Vec<Kernel>; 3]> = OnceLock::new();
        &FOUND.get_or_init(|| Precision::ALL.map(kernels::available))[precision as usize]
    }

    /// The fastest of a precision that this machine can run.
    pub fn best(precision: Precision) -> Kernel {
        let available = Self::available(precision);
        available[available.len() - 1]
    }

    /// The fastest of a precision for a matrix of so many columns. A kernel of whose narrowest tile
    /// half would be padding, as of a low-rank factor's on 512-bit vectors, gives way to one with
    /// narrower tiles: it is no slower then, and memory is half.
    pub(super) fn best_for(precision: Precision, columns: usize) -> Kernel {
        let lanes = |kernel: &Kernel| kernel.code(precision).lanes;
        let fits = |kernel: &Kernel| lanes(kernel) < 2 * columns;
        let best = Self::best(precision);
        if fits(&best) {
            return best;
        }
        let narrower = |kernel: &&Kernel| kernel.on_vectors() && lanes(kernel) < lanes(&best);
        let narrower = Self::available(precision).iter().rev().filter(narrower);
        *narrower
            .clone()
            .find(|kernel| fits(kernel))
            .or(narrower.min_by_key(|kernel| lanes(kernel)))
            .unwrap_or(&best)
    }

    /// Whether it has vectors, neither plain Rust nor tiles.
    fn on_vectors(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 | Kernel::Avx512 => true,
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => true,
            _ => false,
        }
    }

    /// Its code for a precision.
    pub(super) fn code(self, precision: Precision) -> &'static MicroKernel {
        assert!(
            Self::available(precision).contains(&self),
            "this machine has no kernel {self:?} for {precision}"
        );
        kernels::code(self, precision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_matrices_are_not_padded_to_twice_their_width_where_a_narrower_kernel_is_there() {
        for precision in Precision::ALL {
            let best = Kernel::best(precision).code(precision).lanes;
            assert_eq!(Kernel::best_for(precision, best), Kernel::best(precision));
            for columns in 1..best {
                let lanes = Kernel::best_for(precision, columns).code(precision).lanes;
                let narrowest =
                    Kernel::available(precision).iter().filter(|kernel| kernel.on_vectors());
                let narrowest = narrowest
                    .map(|kernel| kernel.code(precision).lanes)
                    .min()
                    .unwrap_or(best)
                    .min(best);
                assert!(
                    lanes < 2 * columns || lanes == narrowest,
                    "{precision}, {columns} columns: {lanes} lanes"
                );
            }
        }
    }
}
