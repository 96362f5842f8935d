//! The gradients of a linear map's parameters.

use crate::dtype::Element;
use crate::gemm::{Matrix, MatrixMut, Start, gemm_in};
use crate::simd::simd;
use rayon::prelude::*;

/// Columns a task takes when it sums a bias gradient.
const COLUMNS: usize = 64;

/// dW += dy^T x and db += column sums of dy, for x [T, in], dy [T, out], dW [out, in], db `[out]`,
/// multiplied in the precision of the elements.
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
    gemm_in(E::PRECISION, 1.0, dy_t, x, Start::Accumulate, d_weight);
    bias_gradient(dy, d_bias);
}

/// db += column sums of dy, for dy [T, out] and db `[out]`.
///
/// # Panics
/// If `dy` does not consist of whole rows.
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
