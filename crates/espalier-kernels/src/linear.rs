//! The linear map y = x W^T + b over rows, and its gradients.
//!
//! Weights are stored as PyTorch stores them: W [out, in].

use crate::gemm::{Matrix, MatrixMut, Start, gemm};
use crate::simd::simd;
use rayon::prelude::*;

/// Columns a task takes when it sums a bias gradient.
const COLUMNS: usize = 64;

/// A linear map with its shape.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// W, [out, in] row by row.
    pub weight: &'a [f32],
    /// b, `[out]`.
    pub bias: &'a [f32],
}

impl<'a> Linear<'a> {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len()
    }

    /// W as a matrix [out, in].
    pub fn matrix(&self) -> Matrix<'a> {
        Matrix::new(self.weight, self.outputs(), self.inputs())
    }

    /// y = x W^T + b, x [T, in], y [T, out].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let rows = y.len() / self.outputs();
        let y = MatrixMut::new(y, rows, self.outputs());
        gemm(1.0, Matrix::new(x, rows, self.inputs()), self.matrix().t(), Start::Bias(self.bias), y);
    }

    /// dx = dy W (or dx += dy W with `Start::Accumulate`), dy [T, out], dx [T, in].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn input_gradient(&self, dy: &[f32], start: Start, dx: &mut [f32]) {
        let rows = dy.len() / self.outputs();
        let dx = MatrixMut::new(dx, rows, self.inputs());
        gemm(1.0, Matrix::new(dy, rows, self.outputs()), self.matrix(), start, dx);
    }
}

/// dW += dy^T x and db += column sums of dy, for x [T, in], dy [T, out], dW [out, in], db `[out]`.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn linear_parameter_gradients(x: &[f32], dy: &[f32], d_weight: &mut [f32], d_bias: &mut [f32]) {
    let outputs = d_bias.len();
    let (rows, inputs) = (dy.len() / outputs, d_weight.len() / outputs);
    let d_weight = MatrixMut::new(d_weight, outputs, inputs);
    gemm(1.0, Matrix::new(dy, rows, outputs).t(), Matrix::new(x, rows, inputs), Start::Accumulate, d_weight);
    d_bias.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, db)| add_columns(dy, outputs, block * COLUMNS, db));
}

simd! {
    fn add_columns(dy: &[f32], width: usize, first: usize, db: &mut [f32]) {
        for row in dy.chunks_exact(width) {
            for (db, &g) in db.iter_mut().zip(&row[first..]) {
                *db += g;
            }
        }
    }
}
