//! What an instruction set has to provide, and the choice among those that the machine offers.

#[cfg(target_arch = "x86_64")]
use crate::simd::{InstructionSet, instruction_set};

/// One small product: C [MR, width] = (C or zero) + alpha * A panel * B panel.
pub(super) struct Tile<'a> {
    /// Factor of the product.
    pub alpha: f32,
    /// Packed rows of A, [depth, MR].
    pub a: &'a [f32],
    /// Packed columns of B, [depth, width].
    pub b: &'a [f32],
    /// Columns of the tile: a multiple of LANES, at most NR.
    pub width: usize,
    /// First element of C's tile.
    pub c: *mut f32,
    /// Distance between its rows.
    pub c_stride: usize,
    /// Whether to add to what C holds.
    pub add: bool,
}

/// The innermost product, kept in registers.
///
/// All kernels compute an element the same way, whatever the tile's width: one sum from zero in the order of k, then
/// one multiplication by alpha, then one addition to C. Those with fused multiply-add hence agree bit by bit.
pub(super) trait MicroKernel {
    /// Rows of a tile.
    const MR: usize;
    /// Columns of a full tile.
    const NR: usize;
    /// Columns of the narrowest tile; NR is a multiple of it.
    const LANES: usize;

    /// Computes a tile.
    ///
    /// # Safety The processor has the instructions of this kernel; `tile.width` is one of LANES, 2 LANES .. NR;
    /// `tile.c` points to MR rows of `width` elements, `c_stride` apart, that nothing else reads or writes meanwhile.
    unsafe fn tile(tile: &Tile);
}

/// The micro-kernels that exist for this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 128-bit vectors with fused multiply-add.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// Those that this machine can run, the fastest last.
    pub fn available() -> &'static [Kernel] {
        #[cfg(target_arch = "x86_64")]
        return match instruction_set() {
            InstructionSet::Avx512 => &[Kernel::Portable, Kernel::Avx2, Kernel::Avx512],
            InstructionSet::Avx2 => &[Kernel::Portable, Kernel::Avx2],
            InstructionSet::Baseline => &[Kernel::Portable],
        };
        #[cfg(target_arch = "aarch64")]
        return &[Kernel::Portable, Kernel::Neon];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return &[Kernel::Portable];
    }

    /// The fastest that this machine can run.
    pub fn best() -> Kernel {
        Self::available()[Self::available().len() - 1]
    }
}
