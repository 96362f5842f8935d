//! Products of matrices, in three precisions, of any shape, either operand transposed or strided.
//!
//! - [`gemm`]: C = start + alpha A B in f32; [`gemm_in`]: the same in f32 or bf16
//! - [`Packed`]: a right operand that is packed once and used often, such as a weight
//!
//! Both operands are brought into the form that the innermost loop reads: A as rows of lanes
//! (left.rs), which f32 and bf16 activations mostly are already, B as panels of columns
//! (panels.rs). A lane is 32 bits, as in a vector register: one f32, two bf16 or four bytes that
//! are neighbours along the inner dimension. So one loop over tiles (driver.rs) serves all
//! precisions, and instruction sets differ in the micro-kernel alone (kernels/), which keeps a tile
//! of sums in registers. That scheme is BLIS's (Van Zee and van de Geijn, ACM TOMS 41(3), 2015)
//! without its outer loops: the inner dimension of an encoder's products is short enough for one
//! pass.
//!
//! An element of C is always the same sum in the same order: it depends on its row of A, its column
//! of B, k and alpha, and neither on the number of threads nor on the other rows and columns. So a
//! batch of n texts gives bit by bit what n batches of one give. Between processors with and
//! without fused multiply-add the last bits differ.

pub(crate) mod driver;
pub(crate) mod kernels;
mod lanes;
mod left;
mod matrix;
mod packed;
mod panels;
mod quantize;

pub use kernels::Kernel;
pub use matrix::{Matrix, MatrixMut};
pub use packed::Packed;
pub use quantize::quantize_rows;

use crate::buffers::with_u32;
use crate::dtype::{Element, Precision};
use crate::parallel::DisjointBlocks;
use crate::simd::simd;
use driver::{Epilogue, Place};
use left::with_left;
use panels::{PanelShape, pack};

/// Steps along k between two visits to C: more would not leave panels in the second-level cache.
///
/// The sums of an element are cut here, so this number is part of the definition of a product, bit
/// by bit.
const PIECE: usize = 2048;

/// What C holds before products are added.
#[derive(Clone, Copy, Debug, Default)]
pub enum Start<'a> {
    /// Zeros: the contents of C are overwritten.
    #[default]
    Zero,
    /// Its contents.
    Accumulate,
    /// This vector, as long as a row, in each row.
    Bias(&'a [f32]),
}

/// What a product does to C: C = start + alpha * A B. Made from a [`Start`] alone, alpha is 1.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Factor of the product.
    pub alpha: f32,
    /// What it is added to.
    pub start: Start<'a>,
}

impl Default for Update<'_> {
    fn default() -> Self {
        Start::Zero.into()
    }
}

impl<'a> From<Start<'a>> for Update<'a> {
    fn from(start: Start<'a>) -> Self {
        Self { alpha: 1.0, start }
    }
}

impl Update<'_> {
    /// # Panics
    /// If a bias is not as long as a row of C.
    fn check(&self, c: &MatrixMut) {
        if let Start::Bias(bias) = self.start {
            assert_eq!(bias.len(), c.cols(), "gemm: the bias is not as long as a row of C");
        }
    }
}

/// C = start + alpha * A B in f32, for A [m, k], B [k, n], C [m, n]; any of m, n, k may be zero.
///
/// Large products run on the threads of the current rayon pool.
///
/// ```
/// use espalier_kernels::gemm::{Matrix, MatrixMut, Start, Update, gemm};
///
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
/// let (a, b) = (Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2));
/// let mut c = [0.0; 4];
/// gemm(a, b, Start::Zero, MatrixMut::new(&mut c, 2, 2));
/// assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
///
/// let bias = [100.0, 200.0];
/// let update = Update { alpha: -1.0, start: Start::Bias(&bias) };
/// gemm(a, b.t(), update, MatrixMut::new(&mut c, 2, 2));
/// assert_eq!(c, [83.0, 177.0, 61.0, 147.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn gemm<'u>(a: Matrix, b: Matrix, update: impl Into<Update<'u>>, c: MatrixMut) {
    gemm_in(Precision::F32, a, b, update, c);
}

/// [`gemm`] with operands of any element type, multiplied in f32 or bf16.
///
/// # Panics
/// If the shapes do not fit each other, or the precision is [`Precision::Int8`].
pub fn gemm_in<'u, A: Element, B: Element>(
    precision: Precision,
    a: Matrix<A>,
    b: Matrix<B>,
    update: impl Into<Update<'u>>,
    c: MatrixMut,
) {
    gemm_with(Kernel::best(precision), precision, a, b, update.into(), c);
}

/// [`gemm_in`] by a kernel of the caller's choice: lets tests and measurements reach every kernel.
///
/// # Panics
/// If the shapes do not fit each other, the precision is [`Precision::Int8`], or the machine cannot
/// run the kernel.
#[doc(hidden)]
pub fn gemm_with<A: Element, B: Element>(
    kernel: Kernel,
    precision: Precision,
    a: Matrix<A>,
    b: Matrix<B>,
    update: Update,
    mut c: MatrixMut,
) {
    assert_eq!(a.cols(), b.rows(), "gemm: A and B differ in their inner dimension");
    assert_eq!((a.rows(), b.cols()), (c.rows(), c.cols()), "gemm: A B and C differ in shape");
    assert_ne!(precision, Precision::Int8, "gemm: bytes need weights packed with their scales");
    update.check(&c);
    let (code, (m, n, k)) = (kernel.code(precision), (c.rows(), c.cols(), a.cols()));
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return c.rows_mut().for_each(|row| match update.start {
            Start::Zero => row.fill(0.0),
            Start::Accumulate => {}
            Start::Bias(bias) => row.copy_from_slice(bias),
        });
    }
    let c = c.into_blocks();
    for first in (0..k).step_by(PIECE) {
        let depth = PIECE.min(k - first);
        let (a, b) = (a.block(0, first, m, depth), b.block(first, 0, depth, n));
        let start = if first == 0 { update.start } else { Start::Accumulate };
        let write = WriteUpdate { update: Update { start, ..update }, c: &c };
        let shape = PanelShape::new(code, precision, depth, n);
        with_u32(shape.len(), |panels| {
            pack(precision, b, shape, panels);
            // SAFETY: `Kernel::code` has checked the instructions; `with_left` makes rows of the
            // kernel's lanes.
            with_left(precision, code, a, |left| unsafe {
                driver::multiply(code, left, shape, panels, &write)
            });
        });
    }
}

/// The epilogue of a plain product: C = start + alpha * sums, for a C of the product's shape.
struct WriteUpdate<'a> {
    update: Update<'a>,
    c: &'a DisjointBlocks<'a, f32>,
}

impl Epilogue for WriteUpdate<'_> {
    fn tile(&self, at: Place, sums: &mut [f32]) {
        let Update { alpha, start } = self.update;
        for (row, sums) in at.each_row(sums) {
            // SAFETY: this is the only tile that has these columns of this row.
            let row = unsafe { self.c.row(row, at.column, at.columns) };
            match start {
                Start::Zero => set(alpha, sums, row),
                Start::Accumulate => add(alpha, sums, row),
                Start::Bias(bias) => {
                    row.copy_from_slice(&bias[at.column..][..at.columns]);
                    add(alpha, sums, row);
                }
            }
        }
    }
}

simd! {
    fn set(alpha: f32, sums: &[f32], row: &mut [f32]) {
        for (c, sum) in row.iter_mut().zip(sums) {
            *c = alpha * sum;
        }
    }
}

simd! {
    fn add(alpha: f32, sums: &[f32], row: &mut [f32]) {
        for (c, sum) in row.iter_mut().zip(sums) {
            *c += alpha * sum;
        }
    }
}
