//! Losses over rows of scores, each with the gradient at the scores.

use crate::math::exp;
use crate::simd::reduce;

/// Softmax cross-entropy, averaged over the rows that have a target.
///
/// `scores` [n, C] become the gradient of the mean loss: (softmax(scores) - onehot(target)) / rows with a target; rows
/// whose target is `None` get zero. A score of minus infinity takes its class out of the row. Returns the mean loss, zero
/// when no row has a target.
///
/// # Panics
/// If the shapes do not fit or a target is not below C.
pub fn cross_entropy(scores: &mut [f32], targets: &[Option<u32>], classes: usize) -> f64 {
    assert_eq!(scores.len(), targets.len() * classes, "cross_entropy: shapes do not fit");
    let counted = targets.iter().flatten().count().max(1) as f32;
    let mut loss = 0.0;
    for (row, target) in scores.chunks_exact_mut(classes).zip(targets) {
        let Some(target) = *target else {
            row.fill(0.0);
            continue;
        };
        let target = target as usize;
        let max = row.iter().fold(f32::NEG_INFINITY, |max, &s| max.max(s));
        let target_score = row[target] - max;
        for s in row.iter_mut() {
            *s = if *s == f32::NEG_INFINITY { 0.0 } else { exp(*s - max) };
        }
        let sum = reduce(row, |p| p);
        loss += (sum.ln() - target_score) as f64;
        for p in row.iter_mut() {
            *p /= sum * counted;
        }
        row[target] -= 1.0 / counted;
    }
    loss / counted as f64
}

/// Binary cross-entropy of sigmoid(score) against 0/1 targets, averaged over all elements.
///
/// `scores` become the gradient of the mean loss: (sigmoid(score) - target) / n. Returns the mean loss,
/// max(s, 0) - s y + ln(1 + e^-|s|) in its overflow-free form.
///
/// # Panics
/// If the lengths differ.
pub fn binary_cross_entropy(scores: &mut [f32], targets: &[bool]) -> f64 {
    assert_eq!(scores.len(), targets.len(), "binary_cross_entropy: shapes do not fit");
    let count = scores.len().max(1) as f32;
    let mut loss = 0.0;
    for (s, &target) in scores.iter_mut().zip(targets) {
        let y = if target { 1.0 } else { 0.0 };
        loss += (s.max(0.0) - *s * y + exp(-s.abs()).ln_1p()) as f64;
        let sigmoid = 1.0 / (1.0 + exp(-*s));
        *s = (sigmoid - y) / count;
    }
    loss / count as f64
}
