//! Linear maps of rows by packed weights, with all that can be done while the sums are at hand:
//! bias, low-rank updates, the residual, GELU and its gradient.
//!
//! Weights are stored as PyTorch stores them, W [out, in]: y = x W^T + b multiplies by W^T, the way
//! back dx = dy W by W.

mod finish;
mod gradients;
mod low_rank;

pub use gradients::{bias_gradient, linear_parameter_gradients};
pub use low_rank::{LowRank, Up};

use crate::dtype::Element;
use crate::gemm::{Matrix, Packed};
use finish::{Finish, Target};

/// What becomes of y = x W^T (+ bias + low-rank updates), all [T, n].
#[derive(Debug)]
pub enum Output<'a, E> {
    /// out = y.
    Store(&'a mut [E]),
    /// out += y.
    Add(&'a mut [f32]),
    /// out = residual + y.
    Residual {
        /// What is added.
        residual: &'a [E],
        /// The sum.
        out: &'a mut [f32],
    },
    /// out = GELU(y).
    Gelu {
        /// y itself, for the way back.
        kept: Option<&'a mut [E]>,
        /// After GELU.
        out: &'a mut [E],
    },
    /// out = y GELU'(kept): the way back through GELU.
    GeluGradient {
        /// What went into GELU.
        kept: &'a [E],
        /// Gradient at `kept`.
        out: &'a mut [E],
    },
}

/// Multiplies x [T, k] by packed weights [k, n] and makes `output` of the result.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear<E: Element>(
    x: &[E],
    weight: &Packed,
    bias: Option<&[f32]>,
    updates: &[LowRank],
    output: Output<E>,
) {
    let n = weight.columns();
    assert!(bias.is_none_or(|bias| bias.len() == n), "linear: the bias is not as long as a row");
    let target = Target::new(output, n);
    let rows = target.elements() / n.max(1);
    for update in updates {
        update.check(rows, n);
    }
    weight.multiply(Matrix::new(x, rows, weight.rows()), &Finish { bias, updates, target });
}
