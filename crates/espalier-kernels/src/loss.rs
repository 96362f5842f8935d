//! Losses over rows of scores (logits), each with the gradient at the scores.

use crate::math::{exp, ln_1p};
use crate::simd::{max_of, reduce, simd};
use rayon::prelude::*;

/// Elements per task.
const BLOCK: usize = 4 * 1024;
/// Losses that are summed in f32 before the sum is added to the f64 total.
const RUN: usize = 256;

/// Softmax cross-entropy, averaged over the rows that have a target.
///
/// `scores` [n, C] become the gradient of the mean loss: (softmax(scores) - onehot(target)) / rows
/// with a target; rows whose target is `None` get zero. A score of minus infinity excludes its
/// class in that row. Returns the mean loss, zero if no row has a target.
///
/// ```
/// use espalier_kernels::loss::cross_entropy;
///
/// let mut scores = [0.0, 0.0, 5.0, 1.0]; // [n, C] = [2, 2]
/// let loss = cross_entropy(&mut scores, &[Some(1), None], 2);
/// assert!((loss - 2f64.ln()).abs() < 1e-6);
/// assert_eq!(scores, [0.5, -0.5, 0.0, 0.0]); // the gradient
/// ```
///
/// # Panics
/// If the shapes do not fit or a target is not below C.
pub fn cross_entropy(scores: &mut [f32], targets: &[Option<u32>], classes: usize) -> f64 {
    let counted = targets.iter().flatten().count().max(1) as f32;
    mean_cross_entropy(scores, targets, &[], classes, counted)
}

/// [`cross_entropy`] as a weighted mean: the loss of row i and its gradient are multiplied by
/// `weights[i]`, and the sum is divided by the weights of the rows that have a target (PyTorch's
/// `weight`, but per row instead of per class).
///
/// # Panics
/// If the shapes do not fit or a target is not below C.
pub fn weighted_cross_entropy(
    scores: &mut [f32],
    targets: &[Option<u32>],
    weights: &[f32],
    classes: usize,
) -> f64 {
    assert_eq!(weights.len(), targets.len(), "weighted_cross_entropy: shapes do not fit");
    let counted: f32 =
        targets.iter().zip(weights).filter(|(target, _)| target.is_some()).map(|(_, w)| w).sum();
    mean_cross_entropy(scores, targets, weights, classes, if counted > 0.0 { counted } else { 1.0 })
}

/// The sum divided by `counted`; without weights every row weighs 1.
fn mean_cross_entropy(
    scores: &mut [f32],
    targets: &[Option<u32>],
    weights: &[f32],
    classes: usize,
    counted: f32,
) -> f64 {
    assert_eq!(scores.len(), targets.len() * classes, "cross_entropy: shapes do not fit");
    let rows = BLOCK.div_ceil(classes);
    let losses: Vec<f64> = scores
        .par_chunks_mut(rows * classes)
        .zip(targets.par_chunks(rows))
        .enumerate()
        .map(|(block, (scores, targets))| {
            let weights = weights.get(block * rows..).unwrap_or_default();
            cross_entropy_rows(scores, targets, weights, classes, counted)
        })
        .collect();
    losses.iter().sum::<f64>() / counted as f64
}

simd! {
    fn cross_entropy_rows(
        scores: &mut [f32],
        targets: &[Option<u32>],
        weights: &[f32],
        classes: usize,
        counted: f32,
    ) -> f64 {
        let mut total = 0.0;
        for (index, (row, target)) in scores.chunks_exact_mut(classes).zip(targets).enumerate() {
            let Some(target) = *target else {
                row.fill(0.0);
                continue;
            };
            let target = target as usize;
            let max = max_of(row);
            let target_score = row[target] - max;
            for s in row.iter_mut() {
                *s = if *s == f32::NEG_INFINITY { 0.0 } else { exp::<FMA>(*s - max) };
            }
            let sum = reduce(row, |p| p);
            let weight = weights.get(index).copied().unwrap_or(1.0);
            total += (weight * (sum.ln() - target_score)) as f64;
            for p in row.iter_mut() {
                *p = *p / (sum * counted) * weight;
            }
            row[target] -= weight / counted;
        }
        total
    }
}

/// Binary cross-entropy of sigmoid(score) against 0/1 targets, averaged over all elements.
///
/// `scores` become the gradient of the mean loss: (sigmoid(score) - target) / n. Returns the mean
/// loss, max(s, 0) - s y + ln(1 + e^-|s|) in its overflow-free form.
///
/// ```
/// use espalier_kernels::loss::binary_cross_entropy;
///
/// let mut scores = [0.0, 0.0];
/// let loss = binary_cross_entropy(&mut scores, &[true, false]);
/// assert!((loss - 2f64.ln()).abs() < 1e-6);
/// assert_eq!(scores, [-0.25, 0.25]); // the gradient
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn binary_cross_entropy(scores: &mut [f32], targets: &[bool]) -> f64 {
    assert_eq!(scores.len(), targets.len(), "binary_cross_entropy: shapes do not fit");
    let count = scores.len().max(1) as f32;
    let losses: Vec<f64> = scores
        .par_chunks_mut(BLOCK)
        .zip(targets.par_chunks(BLOCK))
        .map(|(scores, targets)| binary_cross_entropy_block(scores, targets, count))
        .collect();
    losses.iter().sum::<f64>() / count as f64
}

simd! {
    fn binary_cross_entropy_block(scores: &mut [f32], targets: &[bool], count: f32) -> f64 {
        let mut total = 0.0;
        let mut losses = [0.0; RUN];
        for (scores, targets) in scores.chunks_mut(RUN).zip(targets.chunks(RUN)) {
            let losses = &mut losses[..scores.len()];
            for ((s, &target), loss) in scores.iter_mut().zip(targets).zip(losses.iter_mut()) {
                let y = target as u8 as f32;
                let e = exp::<FMA>(-s.abs());
                *loss = s.max(0.0) - *s * y + ln_1p(e);
                let sigmoid = if *s >= 0.0 { 1.0 } else { e } / (1.0 + e);
                *s = (sigmoid - y) / count;
            }
            total += reduce(losses, |loss| loss) as f64;
        }
        total
    }
}
