//! Low-rank adaptation of a linear map (LoRA, arXiv 2106.09685): y += s (x A^T) B^T with s = alpha / r.

use crate::gemm::{Matrix, MatrixMut, Start, gemm};

/// The two factors of one adapted module.
#[derive(Clone, Copy, Debug)]
pub struct LoraPair<'a> {
    /// A, [r, in] row by row.
    pub a: &'a [f32],
    /// B, [out, r] row by row.
    pub b: &'a [f32],
    /// r.
    pub rank: usize,
    /// s = alpha / r (or alpha / sqrt(r) for rank-stabilised LoRA).
    pub scale: f32,
}

impl<'a> LoraPair<'a> {
    fn a(&self) -> Matrix<'a> {
        Matrix::new(self.a, self.rank, self.a.len() / self.rank)
    }

    fn b(&self) -> Matrix<'a> {
        Matrix::new(self.b, self.b.len() / self.rank, self.rank)
    }

    /// down = x A^T; y += s down B^T.
    ///
    /// `x` [T, in]; `y` [T, out], possibly a block of columns of a wider matrix; `down` [T, r] is kept for the backward pass.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn forward(&self, x: &[f32], y: MatrixMut, down: &mut [f32]) {
        let rows = down.len() / self.rank;
        let x = Matrix::new(x, rows, self.a().cols());
        gemm(1.0, x, self.a().t(), Start::Zero, MatrixMut::new(down, rows, self.rank));
        gemm(self.scale, Matrix::new(down, rows, self.rank), self.b().t(), Start::Accumulate, y);
    }

    /// Gradients from `dy` [T, out]: dB += s dy^T down, dA += d_down^T x, dx += d_down A, where d_down = s dy B.
    ///
    /// `d_down` [T, r] is scratch. `gradients` are left out for a frozen pair, `dx` [T, in] when nothing below is trained.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn backward(
        &self,
        x: &[f32],
        dy: Matrix,
        down: &[f32],
        d_down: &mut [f32],
        gradients: Option<LoraPairMut>,
        dx: Option<&mut [f32]>,
    ) {
        let (rows, inputs, outputs) = (dy.rows(), self.a().cols(), self.b().rows());
        gemm(self.scale, dy, self.b(), Start::Zero, MatrixMut::new(d_down, rows, self.rank));
        let d_down = Matrix::new(d_down, rows, self.rank);
        if let Some(LoraPairMut { a: da, b: db }) = gradients {
            let (x, down) = (Matrix::new(x, rows, inputs), Matrix::new(down, rows, self.rank));
            gemm(1.0, d_down.t(), x, Start::Accumulate, MatrixMut::new(da, self.rank, inputs));
            gemm(self.scale, dy.t(), down, Start::Accumulate, MatrixMut::new(db, outputs, self.rank));
        }
        if let Some(dx) = dx {
            gemm(1.0, d_down, self.a(), Start::Accumulate, MatrixMut::new(dx, rows, inputs));
        }
    }
}

/// Where the gradients of one pair are accumulated.
#[derive(Debug)]
pub struct LoraPairMut<'a> {
    /// Gradient of A, [r, in].
    pub a: &'a mut [f32],
    /// Gradient of B, [out, r].
    pub b: &'a mut [f32],
}
