//! Layer normalisation over rows (arXiv 1607.06450).
//!
//! y = (s - mean) * rstd * weight + bias, rstd = 1 / sqrt(var + eps), for each row s of H values.

use crate::dtype::Element;
use crate::parallel::{DisjointBlocks, for_each};
use crate::simd::{reduce, reduce2, simd};
use rayon::prelude::*;

/// Rows per task.
const ROWS: usize = 16;
/// Columns per task, where gradients are summed over the rows.
const COLUMNS: usize = 64;

/// What the backward pass needs of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowStats {
    /// Mean of the row.
    pub mean: f32,
    /// One over the standard deviation of the row (eps included).
    pub rstd: f32,
}

/// The parameters of a layer normalisation of rows of width H.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Scale, `[H]`.
    pub weight: &'a [f32],
    /// Shift, `[H]`.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// What the backward pass needs of the forward pass.
#[derive(Clone, Copy, Debug)]
pub struct SavedLayerNorm<'a> {
    /// The input s, [T, H].
    pub input: &'a [f32],
    /// `[T]`.
    pub stats: &'a [RowStats],
}

/// out = LayerNorm(x), both [T, H]; `stats` `[T]` receives what the backward pass needs.
///
/// ```
/// use espalier_kernels::layer_norm::{LayerNorm, RowStats, layer_norm};
///
/// let norm = LayerNorm { weight: &[1.0, 2.0], bias: &[0.0, 10.0], eps: 0.0 };
/// let (mut out, mut stats) = ([0.0f32; 2], [RowStats::default()]);
/// layer_norm(&[1.0, 5.0], norm, &mut out, &mut stats);
/// assert_eq!(out, [-1.0, 12.0]); // mean 3, standard deviation 2
/// assert_eq!(stats[0], RowStats { mean: 3.0, rstd: 0.5 });
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn layer_norm<E: Element>(x: &[f32], norm: LayerNorm, out: &mut [E], stats: &mut [RowStats]) {
    let width = check(norm, x, out, stats);
    let rows = stats.len();
    let (out, stats) = (DisjointBlocks::new(out, ROWS * width), DisjointBlocks::new(stats, ROWS));
    for_each(rows.div_ceil(ROWS), usize::MAX, &|block| {
        let first = block * ROWS;
        let count = ROWS.min(rows - first);
        // SAFETY: only this task writes these rows.
        let (out, stats) =
            unsafe { (out.row(block, 0, count * width), stats.row(block, 0, count)) };
        norm_rows(&x[first * width..][..count * width], norm, out, stats);
    });
}

/// Backward pass: dy [T, H], the gradient at the output, becomes ds, the gradient at the input s.
/// `copy` [T, H] receives ds once more, in the number type of the products that come next.
///
/// With x^ = (s - mean) rstd and g = dy * weight: ds = rstd (g - mean(g) - x^ mean(g x^)).
///
/// ```
/// use espalier_kernels::layer_norm::{RowStats, SavedLayerNorm, layer_norm_backward};
///
/// let stats = [RowStats { mean: 3.0, rstd: 0.5 }];
/// let saved = SavedLayerNorm { input: &[1.0, 5.0], stats: &stats };
/// let (mut d, mut copy) = ([4.0, 4.0], [0.0f32; 2]);
/// layer_norm_backward(saved, &[1.0, 1.0], &mut d, &mut copy);
/// assert_eq!(d, [0.0, 0.0]); // adding a constant to a row does not change the output
/// assert_eq!(copy, d);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn layer_norm_backward<E: Element>(
    saved: SavedLayerNorm,
    weight: &[f32],
    dy: &mut [f32],
    copy: &mut [E],
) {
    let SavedLayerNorm { input: sum, stats } = saved;
    let width = weight.len();
    assert!(
        sum.len() == dy.len() && sum.len() == copy.len() && sum.len() == stats.len() * width,
        "layer_norm_backward: shapes do not fit"
    );
    dy.par_chunks_mut(ROWS * width)
        .zip(copy.par_chunks_mut(ROWS * width))
        .zip(sum.par_chunks(ROWS * width))
        .zip(stats.par_chunks(ROWS))
        .for_each(|(((dy, copy), sum), stats)| backward_rows(sum, stats, weight, dy, copy));
}

/// Adds the gradients of weight and bias, both `[H]`, from the gradient `dy` [T, H] at the output.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn layer_norm_parameter_gradients(
    saved: SavedLayerNorm,
    dy: &[f32],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let SavedLayerNorm { input: sum, stats } = saved;
    let width = d_weight.len();
    assert!(
        d_bias.len() == width && sum.len() == dy.len() && sum.len() == stats.len() * width,
        "layer_norm_parameter_gradients: shapes do not fit"
    );
    d_weight.par_chunks_mut(COLUMNS).zip(d_bias.par_chunks_mut(COLUMNS)).enumerate().for_each(
        |(block, (dw, db))| {
            parameter_columns(sum, stats, dy, width, block * COLUMNS, dw, db);
        },
    );
}

fn check<E>(norm: LayerNorm, x: &[f32], out: &[E], stats: &[RowStats]) -> usize {
    let width = norm.weight.len();
    assert!(
        width > 0
            && norm.bias.len() == width
            && x.len() == out.len()
            && x.len() == stats.len() * width,
        "layer_norm: shapes do not fit"
    );
    width
}

simd! {
    fn norm_rows<E: Element>(x: &[f32], norm: LayerNorm, out: &mut [E], stats: &mut [RowStats]) {
        let width = norm.weight.len();
        for ((x, out), stats) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(stats) {
            let mean = reduce(x, |v| v) / width as f32;
            let variance = reduce(x, |v| (v - mean) * (v - mean)) / width as f32;
            let rstd = 1.0 / (variance + norm.eps).sqrt();
            *stats = RowStats { mean, rstd };
            for (((out, &x), &w), &b) in out.iter_mut().zip(x).zip(norm.weight).zip(norm.bias) {
                *out = E::from_f32((x - mean) * rstd * w + b);
            }
        }
    }
}

simd! {
    fn backward_rows<E: Element>(
        sum: &[f32],
        stats: &[RowStats],
        weight: &[f32],
        dy: &mut [f32],
        copy: &mut [E],
    ) {
        let width = weight.len();
        let rows = dy.chunks_exact_mut(width).zip(copy.chunks_exact_mut(width));
        let rows = rows.zip(sum.chunks_exact(width)).zip(stats);
        for (((dy, copy), x), &RowStats { mean, rstd }) in rows {
            for (g, &w) in dy.iter_mut().zip(weight) {
                *g *= w;
            }
            let mean_g = reduce(dy, |g| g) / width as f32;
            let mean_gx = reduce2(dy, x, |g, x| g * (x - mean) * rstd) / width as f32;
            for ((g, copy), &x) in dy.iter_mut().zip(copy).zip(x) {
                *g = rstd * (*g - mean_g - (x - mean) * rstd * mean_gx);
                *copy = E::from_f32(*g);
            }
        }
    }
}

simd! {
    fn parameter_columns(
        sum: &[f32],
        stats: &[RowStats],
        dy: &[f32],
        width: usize,
        first: usize,
        dw: &mut [f32],
        db: &mut [f32],
    ) {
        let columns = first..first + dw.len();
        let rows = dy.chunks_exact(width).zip(sum.chunks_exact(width)).zip(stats);
        for ((dy, x), &RowStats { mean, rstd }) in rows {
            let (dy, x) = (&dy[columns.clone()], &x[columns.clone()]);
            for (((dw, db), &g), &x) in dw.iter_mut().zip(db.iter_mut()).zip(dy).zip(x) {
                *dw += g * (x - mean) * rstd;
                *db += g;
            }
        }
    }
}
