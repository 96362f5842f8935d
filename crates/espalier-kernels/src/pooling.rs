//! Pooling: one vector per sequence, from its token vectors; and scaling of vectors to length one.

use crate::simd::{reduce, reduce2, simd};

/// `out[s]` = mean of the rows of sequence s, `x` [T, H], `out` [n, H]. An empty sequence gives
/// zeros.
///
/// ```
/// use espalier_kernels::pooling::mean_pool;
///
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // three tokens of width 2
/// let mut out = [0.0; 4];
/// mean_pool(&x, &[0, 2, 3], 2, &mut out);
/// assert_eq!(out, [2.0, 3.0, 5.0, 6.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn mean_pool(x: &[f32], offsets: &[usize], width: usize, out: &mut [f32]) {
    assert_eq!(out.len(), (offsets.len() - 1) * width, "mean_pool: shapes do not fit");
    for (out, bounds) in out.chunks_exact_mut(width).zip(offsets.windows(2)) {
        out.fill(0.0);
        for row in x[bounds[0] * width..bounds[1] * width].chunks_exact(width) {
            for (out, x) in out.iter_mut().zip(row) {
                *out += x;
            }
        }
        let length = (bounds[1] - bounds[0]).max(1) as f32;
        for out in out.iter_mut() {
            *out /= length;
        }
    }
}

/// Backward pass of [`mean_pool`]: `dx[t]` = `d_out[s]` / length of s, for every row t of sequence
/// s. Overwrites `dx` [T, H].
///
/// # Panics
/// If the shapes do not fit each other.
pub fn mean_pool_backward(d_out: &[f32], offsets: &[usize], width: usize, dx: &mut [f32]) {
    assert_eq!(d_out.len(), (offsets.len() - 1) * width, "mean_pool_backward: shapes do not fit");
    for (d_out, bounds) in d_out.chunks_exact(width).zip(offsets.windows(2)) {
        let length = (bounds[1] - bounds[0]).max(1) as f32;
        for row in dx[bounds[0] * width..bounds[1] * width].chunks_exact_mut(width) {
            for (dx, g) in row.iter_mut().zip(d_out) {
                *dx = g / length;
            }
        }
    }
}

/// `out[s]` = the first row (`[CLS]`) of sequence s. An empty sequence gives zeros.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn cls_pool(x: &[f32], offsets: &[usize], width: usize, out: &mut [f32]) {
    assert_eq!(out.len(), (offsets.len() - 1) * width, "cls_pool: shapes do not fit");
    for (out, bounds) in out.chunks_exact_mut(width).zip(offsets.windows(2)) {
        match bounds[0] < bounds[1] {
            true => out.copy_from_slice(&x[bounds[0] * width..][..width]),
            false => out.fill(0.0),
        }
    }
}

/// Backward pass of [`cls_pool`]: `dx[t]` = `d_out[s]` at the first row of sequence s, zero
/// elsewhere. Overwrites `dx` [T, H].
///
/// # Panics
/// If the shapes do not fit each other.
pub fn cls_pool_backward(d_out: &[f32], offsets: &[usize], width: usize, dx: &mut [f32]) {
    assert_eq!(d_out.len(), (offsets.len() - 1) * width, "cls_pool_backward: shapes do not fit");
    dx.fill(0.0);
    for (d_out, bounds) in d_out.chunks_exact(width).zip(offsets.windows(2)) {
        if bounds[0] < bounds[1] {
            dx[bounds[0] * width..][..width].copy_from_slice(d_out);
        }
    }
}

/// The least norm to divide by, so that a zero vector stays zero (as in PyTorch's `normalize`).
const SMALLEST_NORM: f32 = 1e-12;

simd! {
    /// Scales each row of `x` [n, H] to length one and writes the lengths before to `norms` `[n]`.
    ///
    /// ```
    /// use espalier_kernels::pooling::l2_normalize;
    ///
    /// let (mut x, mut norms) = ([3.0, 4.0], [0.0]);
    /// l2_normalize(&mut x, 2, &mut norms);
    /// assert_eq!((x, norms), ([0.6, 0.8], [5.0]));
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn l2_normalize(x: &mut [f32], width: usize, norms: &mut [f32]) {
        assert_eq!(x.len(), norms.len() * width, "l2_normalize: shapes do not fit");
        for (row, norm) in x.chunks_exact_mut(width).zip(norms) {
            *norm = reduce(row, |v| v * v).sqrt().max(SMALLEST_NORM);
            for v in row.iter_mut() {
                *v /= *norm;
            }
        }
    }
}

simd! {
    /// Backward pass of [`l2_normalize`], in place: d [n, H], the gradient at the unit vectors u,
    /// becomes (d - u <u, d>) / norm, the gradient at the vectors before.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn l2_normalize_backward(unit: &[f32], norms: &[f32], width: usize, d: &mut [f32]) {
        assert!(
            d.len() == norms.len() * width && unit.len() == d.len(),
            "l2_normalize_backward: shapes do not fit"
        );
        let rows = d.chunks_exact_mut(width).zip(unit.chunks_exact(width));
        for ((row, unit), norm) in rows.zip(norms) {
            let along = reduce2(row, unit, |d, u| d * u);
            for (d, u) in row.iter_mut().zip(unit) {
                *d = (*d - u * along) / norm;
            }
        }
    }
}
