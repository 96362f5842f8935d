//! The micro-kernels: what an instruction set has to provide for one precision, and the choice
//! among those that the machine offers.
//!
//! | file | f32 | bf16 | int8 |
//! |---|---|---|---|
//! | `portable.rs` | plain Rust | plain Rust | plain Rust |
//! | `avx2.rs` | AVX2 with FMA | | AVX2 |
//! | `avx512.rs` | AVX-512 | AVX512_BF16 | AVX512_VNNI |
//! | `amx/` | | AMX | AMX |
//! | `neon.rs` | NEON | | NEON with dot products |
//!
//! Those on vector registers differ only in their instructions; the code around these is the macro
//! in `vectors.rs`.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vectors;

use crate::dtype::Precision;
use crate::processor::processor;
use std::sync::OnceLock;

/// Numbers in the largest tile of any kernel (AMX: 32 x 32).
pub(crate) const MAX_TILE: usize = 1024;
/// Columns of the widest tile of any kernel (AVX-512: three vectors of 16).
pub(crate) const MAX_COLUMNS: usize = 48;

/// One small product: sums [rows, width] = rows of A * a panel of B, over the whole inner
/// dimension.
///
/// Operands are read in lanes of 32 bits: one f32, two bf16 or four bytes that are neighbours along
/// the inner dimension.
pub(super) struct Tile {
    /// First lane of the first row of A; rows are `a_stride` bytes apart and need no alignment.
    pub a: *const u8,
    /// Distance between rows of A, bytes.
    pub a_stride: usize,
    /// Number of rows of A, 1 to the kernel's `rows`.
    pub rows: usize,
    /// A panel of B, [steps, width] lanes.
    pub b: *const u32,
    /// Columns of the panel: a multiple of the kernel's `lanes`, at most its `columns`.
    pub width: usize,
    /// Lanes along the inner dimension: a multiple of the kernel's `depth`.
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
    /// Lanes that the kernel takes along the inner dimension at a time.
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

/// The micro-kernels of this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// Plain Rust.
    Portable,
    /// 256-bit vectors: f32 with fused multiply-add, bytes by multiply-and-add of pairs.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors: f32, bf16 where the processor has AVX512_BF16, bytes where it has
    /// AVX512_VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Tiles of 16 x 64 bytes: bf16 and bytes.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// The kernel of [`Kernel::Amx`] with its tile instructions emulated in plain Rust: never
    /// chosen, but tested everywhere.
    #[cfg(target_arch = "x86_64")]
    AmxEmulated,
    /// 128-bit vectors: f32 with fused multiply-add, bytes where the processor has the dot-product
    /// instructions.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// From the slowest to the fastest.
#[cfg(target_arch = "x86_64")]
const ALL: &[Kernel] =
    &[Kernel::AmxEmulated, Kernel::Portable, Kernel::Avx2, Kernel::Avx512, Kernel::Amx];
/// From the slowest to the fastest.
#[cfg(target_arch = "aarch64")]
const ALL: &[Kernel] = &[Kernel::Portable, Kernel::Neon];
/// From the slowest to the fastest.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALL: &[Kernel] = &[Kernel::Portable];

impl Kernel {
    /// The kernels of a precision that this machine can run, the fastest last.
    ///
    /// ```
    /// use espalier_kernels::Precision;
    /// use espalier_kernels::gemm::Kernel;
    ///
    /// let available = Kernel::available(Precision::F32);
    /// assert!(available.contains(&Kernel::Portable));
    /// assert_eq!(available.last(), Some(&Kernel::best(Precision::F32)));
    /// ```
    pub fn available(precision: Precision) -> &'static [Kernel] {
        static FOUND: OnceLock<[Vec<Kernel>; 3]> = OnceLock::new();
        let find = |precision| ALL.iter().copied().filter(|k| k.runs_here(precision)).collect();
        &FOUND.get_or_init(|| Precision::ALL.map(find))[precision as usize]
    }

    /// Whether it exists for a precision, and this machine can run it.
    fn runs_here(self, precision: Precision) -> bool {
        let cpu = processor();
        let _ = &cpu; // unused on other architectures
        match (self, precision) {
            (Kernel::Portable, _) => true,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, Precision::F32 | Precision::Int8) => cpu.avx2,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::F32) => cpu.avx512,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::Bf16) => cpu.avx512_bf16,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::Int8) => cpu.avx512_vnni,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Amx, Precision::Bf16) => cpu.amx_bf16 && amx::works(precision),
            #[cfg(target_arch = "x86_64")]
            (Kernel::Amx, Precision::Int8) => cpu.amx_int8 && amx::works(precision),
            #[cfg(target_arch = "x86_64")]
            (Kernel::AmxEmulated, Precision::Bf16 | Precision::Int8) => true,
            #[cfg(target_arch = "aarch64")]
            (Kernel::Neon, Precision::F32) => true,
            #[cfg(target_arch = "aarch64")]
            (Kernel::Neon, Precision::Int8) => cpu.dotprod,
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => false,
        }
    }

    /// The fastest kernel of a precision that this machine can run.
    pub fn best(precision: Precision) -> Kernel {
        let available = Self::available(precision);
        available[available.len() - 1]
    }

    /// The fastest kernel of a precision for a matrix of so many columns. If half or more of the
    /// narrowest tile would be padding, as for a low-rank factor on 512-bit vectors, this is one
    /// with narrower tiles: it is no slower then, and takes half the memory.
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

    /// Whether it uses vector registers: neither plain Rust nor tiles.
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
    ///
    /// # Panics
    /// If this machine cannot run it.
    pub(super) fn code(self, precision: Precision) -> &'static MicroKernel {
        assert!(
            Self::available(precision).contains(&self),
            "this machine has no kernel {self:?} for {precision}"
        );
        match (self, precision) {
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, Precision::F32) => &avx2::F32,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, Precision::Int8) => &avx2::INT8,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::F32) => &avx512::F32,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::Bf16) => &avx512::BF16,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Precision::Int8) => &avx512::INT8,
            #[cfg(target_arch = "x86_64")]
            (Kernel::Amx, _) => amx::hardware(precision),
            #[cfg(target_arch = "x86_64")]
            (Kernel::AmxEmulated, _) => amx::emulated(precision),
            #[cfg(target_arch = "aarch64")]
            (Kernel::Neon, Precision::F32) => &neon::F32,
            #[cfg(target_arch = "aarch64")]
            (Kernel::Neon, _) => &neon::INT8,
            (_, precision) => portable::kernel(precision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_matrices_are_not_padded_to_twice_their_width_where_a_narrower_kernel_exists() {
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
