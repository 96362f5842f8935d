//! Products of matrices, in three precisions, any shape, either operand transposed or strided.
//!
//! - [`gemm`]: C = start + alpha A B in f32
//! - [`Packed`]: a right operand that is packed once and used often, such as a weight
//!
//! Both operands are brought into the form that the innermost loop reads: A as rows of 32-bit words
//! (left.rs), which f32 and bf16 activations mostly are already, B as panels of columns
//! (panels.rs). A word is one f32, two bf16 or four bytes, so that one walk (driver.rs) serves all
//! precisions, and instruction sets differ in the micro-kernel alone (kernels/), which keeps a tile
//! of sums in registers. That scheme is BLIS's (Van Zee and van de Geijn, ACM TOMS 41(3), 2015)
//! without its outer loops: the inner dimension of an encoder's products is short enough to be
//! walked in one go.
//!
//! An element of C is always the same sum in the same order: it depends on its row of A, its column
//! of B, k and alpha, and neither on the number of threads nor on the other rows and columns. So a
//! batch of n texts gives bit by bit what n batches of one give. Between processors with and
//! without fused multiply-add the last bits differ.

pub(crate) mod driver;
pub(crate) mod kernel;
mod kernels;
mod left;
mod matrix;
mod packed;
mod panels;
mod quantize;
mod update;
mod words;

pub use kernel::Kernel;
pub use matrix::{Matrix, MatrixMut};
pub use packed::Packed;
pub(crate) use quantize::quantize_weights;
pub use update::Start;

use crate::buffers::with_words;
use crate::element::Element;
use crate::precision::Precision;
use left::with_left;
use panels::{PanelShape, pack};
use update::{Target, Update};

/// Steps along k between two visits to C: more would not leave panels in the second-level cache.
///
/// The sums of an element are cut here, so that this number is part of what a product is, bit by
/// bit.
const PIECE: usize = 2048;

/// C = start + alpha * A B, for A [m, k], B [k, n], C [m, n]; any of m, n, k may be zero.
///
/// Large products run on the threads of the current rayon pool.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn gemm(alpha: f32, a: Matrix, b: Matrix, start: Start, c: MatrixMut) {
    gemm_in(Precision::F32, alpha, a, b, start, c);
}

/// [`gemm`] with operands of any element type, multiplied in f32 or bf16.
///
/// # Panics
/// If the shapes do not fit each other, or the precision is [`Precision::Int8`].
pub fn gemm_in<A: Element, B: Element>(
    precision: Precision,
    alpha: f32,
    a: Matrix<A>,
    b: Matrix<B>,
    start: Start,
    c: MatrixMut,
) {
    gemm_with(Kernel::best(precision), precision, alpha, a, b, start, c);
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
    alpha: f32,
    a: Matrix<A>,
    b: Matrix<B>,
    start: Start,
    mut c: MatrixMut,
) {
    assert_eq!(a.cols(), b.rows(), "gemm: A and B differ in their inner dimension");
    assert_eq!((a.rows(), b.cols()), (c.rows(), c.cols()), "gemm: A B and C differ in shape");
    assert_ne!(precision, Precision::Int8, "gemm: bytes need weights packed with their scales");
    start.check(&c);
    let (code, (m, n, k)) = (kernel.code(precision), (c.rows(), c.cols(), a.cols()));
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
    let c = Target::new(c);
    for first in (0..k).step_by(PIECE) {
        let depth = PIECE.min(k - first);
        let (a, b) = (a.block(0, first, m, depth), b.block(first, 0, depth, n));
        let start = if first == 0 { start } else { Start::Accumulate };
        let update = Update { alpha, start, c: &c };
        let shape = PanelShape::new(code, precision, depth, n);
        with_words(shape.words(), |words| {
            pack(precision, b, shape, words);
            // SAFETY: `Kernel::code` has checked the instructions; `with_left` makes rows of the
            // kernel's words.
            with_left(precision, code, a, |left| unsafe {
                driver::multiply(code, left, shape, words, &update)
            });
        });
    }
}
