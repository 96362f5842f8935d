//! Softmax of a row of scores, forward and backward.
//!
//! ```text
//! forward    P_j = exp(S_j - L),  L = ln sum_k exp(S_k)
//! backward   dS_j = P_j (dP_j - sum_k P_k dP_k)
//! ```
//!
//! Only L, the log-sum-exp, is kept for the backward pass, which computes P again from it.

use crate::math::exp;
use crate::simd::{max_of, reduce, reduce2};

/// Replaces the scores S `[l]` of a query by P and returns L.
#[inline(always)]
pub(super) fn softmax<const FMA: bool>(row: &mut [f32]) -> f32 {
    let max = max_of(row);
    for s in row.iter_mut() {
        *s = exp::<FMA>(*s - max);
    }
    let sum = reduce(row, |p| p);
    let scale = 1.0 / sum;
    for p in row.iter_mut() {
        *p *= scale;
    }
    max + sum.ln()
}

/// Replaces the scores S `[l]` of a query by the P of the forward pass, given its L.
#[inline(always)]
pub(super) fn recompute_softmax<const FMA: bool>(row: &mut [f32], log_sum: f32) {
    for p in row.iter_mut() {
        *p = exp::<FMA>(*p - log_sum);
    }
}

/// Replaces dP `[l]` by dS.
#[inline(always)]
pub(super) fn softmax_backward(p: &[f32], d: &mut [f32]) {
    let delta = reduce2(p, d, |p, g| p * g);
    for (d, p) in d.iter_mut().zip(p) {
        *d = *p * (*d - delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 5] = [0.5, -1.0, 2.0, 0.0, 1.5];

    /// The textbook formula in f64, of which the gradient is taken by central differences.
    fn reference(scores: &[f64]) -> Vec<f64> {
        let sum: f64 = scores.iter().map(|s| s.exp()).sum();
        scores.iter().map(|s| s.exp() / sum).collect()
    }

    fn assert_close(got: &[f32], want: &[f64]) {
        let close = |(got, want): (&f32, &f64)| (f64::from(*got) - want).abs() < 1e-6;
        assert!(got.iter().zip(want).all(close), "{got:?} is not {want:?}");
    }

    #[test]
    fn forward_matches_the_textbook_and_is_recomputed_from_the_log_sum() {
        let mut p = SCORES;
        let log_sum = softmax::<false>(&mut p);
        assert_close(&p, &reference(&SCORES.map(f64::from)));
        let mut again = SCORES;
        recompute_softmax::<false>(&mut again, log_sum);
        assert_close(&again, &p.map(f64::from));
    }

    #[test]
    fn backward_matches_central_differences() {
        const STEP: f64 = 1e-5;
        let d_p = [1.0, -2.0, 0.5, 3.0, 0.0];
        let loss = |scores: &[f64]| -> f64 {
            reference(scores).iter().zip(d_p).map(|(p, d)| p * f64::from(d)).sum()
        };
        let want: Vec<f64> = (0..SCORES.len())
            .map(|j| {
                let [mut up, mut down] = [SCORES.map(f64::from); 2];
                (up[j], down[j]) = (up[j] + STEP, down[j] - STEP);
                (loss(&up) - loss(&down)) / (2.0 * STEP)
            })
            .collect();
        let (mut p, mut d) = (SCORES, d_p);
        softmax::<false>(&mut p);
        softmax_backward(&p, &mut d);
        assert_close(&d, &want);
    }
}
