//! Linear maps of rows by packed weights, with everything fused that can follow: bias, low-rank
//! updates, the residual, GELU and its gradient.
//!
//! Weights are stored as PyTorch stores them, W [out, in]: the forward pass y = x W^T + b
//! multiplies by W^T, the backward pass dx = dy W by W.

mod low_rank;
mod output;

pub use low_rank::{LowRank, Up};
pub use output::{Accumulate, AddResidual, Gelu, GeluBackward, Output, Store};

use crate::dtype::Element;
use crate::gemm::{Matrix, MatrixMut, Packed, Start, gemm_in};
use crate::simd::simd;
use output::Finish;
use rayon::prelude::*;

/// Columns per task, where a bias gradient is summed over the rows.
const COLUMNS: usize = 64;

/// Multiplies x [T, k] by packed weights [k, n] and passes y = x W^T + bias + low-rank updates,
/// [T, n], to `output`.
///
/// ```
/// use espalier_kernels::Precision;
/// use espalier_kernels::gemm::{Matrix, Packed};
/// use espalier_kernels::linear::{AddResidual, Store, linear};
///
/// let weight = [1.0, 2.0, 3.0, 4.0]; // W [out, in] = [2, 2]
/// let packed = Packed::new(Precision::F32, Matrix::new(&weight, 2, 2).t());
/// let x = [1.0f32, 0.0, 0.0, 1.0]; // two rows
/// let mut y = [0.0f32; 4];
/// linear(&x, &packed, Some(&[0.5, -0.5]), &[], Store(&mut y));
/// assert_eq!(y, [1.5, 2.5, 2.5, 3.5]);
///
/// let mut sum = [0.0; 4];
/// linear(&x, &packed, None, &[], AddResidual { residual: &x, out: &mut sum });
/// assert_eq!(sum, [2.0, 3.0, 2.0, 5.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear<'a, E: Element>(
    x: &[E],
    weight: &Packed,
    bias: Option<&[f32]>,
    updates: &[LowRank],
    output: impl Output<'a>,
) {
    let n = weight.columns();
    assert!(bias.is_none_or(|bias| bias.len() == n), "linear: the bias is not as long as a row");
    let finish = Finish::new(bias, updates, output, n);
    let rows = finish.rows();
    for update in updates {
        update.check(rows, n);
    }
    weight.multiply(Matrix::new(x, rows, weight.rows()), &finish);
}

/// Adds the gradients of a linear map's parameters: dW += dy^T x and db += column sums of dy, for x
/// [T, in], dy [T, out], dW [out, in], db `[out]`, multiplied in the precision of the elements.
///
/// ```
/// use espalier_kernels::linear::linear_parameter_gradients;
///
/// let (x, dy) = ([1.0f32, 2.0, 3.0], [10.0, 100.0]); // one row
/// let (mut d_weight, mut d_bias) = ([0.0; 6], [1.0; 2]);
/// linear_parameter_gradients(&x, &dy, &mut d_weight, &mut d_bias);
/// assert_eq!(d_weight, [10.0, 20.0, 30.0, 100.0, 200.0, 300.0]);
/// assert_eq!(d_bias, [11.0, 101.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear_parameter_gradients<E: Element>(
    x: &[E],
    dy: &[E],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let outputs = d_bias.len();
    let (rows, inputs) = (dy.len() / outputs, d_weight.len() / outputs);
    let d_weight = MatrixMut::new(d_weight, outputs, inputs);
    let (dy_t, x) = (Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs));
    gemm_in(E::PRECISION, dy_t, x, Start::Accumulate, d_weight);
    bias_gradient(dy, d_bias);
}

/// db += column sums of dy, for dy [T, out] and db `[out]`.
///
/// # Panics
/// If the length of `dy` is not a multiple of that of a row.
pub fn bias_gradient<E: Element>(dy: &[E], d_bias: &mut [f32]) {
    let outputs = d_bias.len();
    assert!(dy.len().is_multiple_of(outputs), "bias_gradient: shapes do not fit");
    d_bias
        .par_chunks_mut(COLUMNS)
        .enumerate()
        .for_each(|(block, db)| add_columns(dy, outputs, block * COLUMNS, db));
}

simd! {
    fn add_columns<E: Element>(dy: &[E], width: usize, first: usize, db: &mut [f32]) {
        for row in dy.chunks_exact(width) {
            for (db, g) in db.iter_mut().zip(&row[first..]) {
                *db += g.to_f32();
            }
        }
    }
}
