//! Products of matrices: C = start + alpha * A B, for f32, any shape, either operand transposed or strided.
//!
//! The scheme is that of BLIS (Van Zee and van de Geijn, ACM TOMS 41(3), 2015), with the first-level cache given to
//! A. C is cut into blocks, one task each. A task takes k in pieces: it packs the piece of B that its columns need,
//! panel by panel, into a buffer that stays in the second-level cache; then, MR rows at a time, it packs a panel of A
//! that stays in the first, and runs the micro-kernel over the panels of B. The micro-kernel keeps a tile of MR x NR
//! sums in registers and is all that differs from one instruction set to another ([`Kernel`]). At the edges, panels
//! are filled up with zeros and the tile goes through a buffer, so that kernels only know full tiles. Blocks share
//! nothing, hence need no barrier: packing B again for each block of rows costs a few per cent and buys tasks that
//! the thread pool can place as it likes.
//!
//! An element of C is always the same sum in the same order: it depends on its row of A, its column of B, k and
//! alpha, and neither on the number of threads nor on the other rows and columns. So a batch of n texts gives bit by
//! bit what n batches of one give. Between processors with and without fused multiply-add the last bits differ.

mod block;
mod kernel;
mod matrix;
mod pack;
mod portable;
mod scratch;
mod transpose;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[doc(hidden)]
pub use kernel::Kernel;
pub use matrix::{Matrix, MatrixMut};

use block::{Product, even_step};
use kernel::MicroKernel;
use rayon::prelude::*;

/// Columns of B that a task packs at a time: with KC steps along k, half of a second-level cache of 1 MiB.
const NC: usize = 384;
/// Products of fewer operations than this (some 10 microseconds) are not worth a second thread.
const OPERATIONS_PER_TASK: usize = 1 << 20;
/// Blocks per thread, so that a thread held up elsewhere leaves its share to others.
const TASKS_PER_THREAD: usize = 4;

/// What C holds before products are added.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing: what C held is overwritten.
    Zero,
    /// What it held.
    Accumulate,
    /// This vector, as long as a row, in each row.
    Bias(&'a [f32]),
}

/// C = start + alpha * A B, for A [m, k], B [k, n], C [m, n]; any of m, n, k may be zero.
///
/// Large products run on the threads of the current rayon pool.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn gemm(alpha: f32, a: Matrix, b: Matrix, start: Start, c: MatrixMut) {
    gemm_with(Kernel::best(), alpha, a, b, start, c);
}

/// [`gemm`] by a kernel of the caller's choice: lets tests and measurements reach every kernel.
///
/// # Panics
/// If the shapes do not fit each other, or the machine cannot run the kernel.
#[doc(hidden)]
pub fn gemm_with(kernel: Kernel, alpha: f32, a: Matrix, b: Matrix, start: Start, c: MatrixMut) {
    assert!(Kernel::available().contains(&kernel), "gemm: this machine cannot run {kernel:?}");
    assert_eq!(a.cols(), b.rows(), "gemm: A and B differ in their inner dimension");
    assert_eq!((a.rows(), b.cols()), (c.rows(), c.cols()), "gemm: A B and C differ in shape");
    if let Start::Bias(bias) = start {
        assert_eq!(bias.len(), c.cols(), "gemm: the bias is not as long as a row of C");
    }
    // SAFETY: the machine has the kernel's instructions.
    unsafe {
        match kernel {
            Kernel::Portable => run::<portable::Portable>(alpha, a, b, start, c),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => run::<avx2::Avx2>(alpha, a, b, start, c),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => run::<avx512::Avx512>(alpha, a, b, start, c),
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => run::<neon::Neon>(alpha, a, b, start, c),
        }
    }
}

/// # Safety
/// The processor has K's instructions, and the shapes fit each other.
unsafe fn run<K: MicroKernel>(alpha: f32, a: Matrix, b: Matrix, start: Start, mut c: MatrixMut) {
    let (m, n, k) = (c.rows(), c.cols(), a.cols());
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return c.rows_mut().for_each(|row| match start {
            Start::Zero => row.fill(0.0),
            Start::Accumulate => {}
            Start::Bias(bias) => row.copy_from_slice(bias),
        });
    }
    let (height, width) = block_shape::<K>(m, n, k);
    let across = n.div_ceil(width);
    let (c, c_stride) = c.into_raw();
    let product = Product { alpha, a, b, start, c, c_stride };
    let task = |index: usize| {
        let (i, j) = (index / across * height, index % across * width);
        // SAFETY: the blocks tile C, which this function holds mutably, without overlap.
        unsafe { product.block::<K>(i..m.min(i + height), j..n.min(j + width)) };
    };
    match m.div_ceil(height) * across {
        1 => task(0),
        tasks => (0..tasks).into_par_iter().with_max_len(1).for_each(task),
    }
}

/// Rows and columns of the blocks that C is cut into: as few as keep the threads busy, and nearly square, because a
/// block of h x w elements packs (h + w) k elements.
fn block_shape<K: MicroKernel>(m: usize, n: usize, k: usize) -> (usize, usize) {
    let operations = 2usize.saturating_mul(m).saturating_mul(n).saturating_mul(k);
    let worth_it = operations / OPERATIONS_PER_TASK;
    let wanted = if worth_it <= 1 { 1 } else { worth_it.min(TASKS_PER_THREAD * rayon::current_num_threads()) };
    let (mut height, mut width) = (m.next_multiple_of(K::MR), even_step(n, NC, K::NR));
    while m.div_ceil(height) * n.div_ceil(width) < wanted {
        if height > width && height > K::MR {
            height = (height / 2).next_multiple_of(K::MR);
        } else if width > K::NR {
            width = (width / 2).next_multiple_of(K::NR);
        } else {
            break;
        }
    }
    (height, width)
}
