//! The loss of text pairs: symmetric InfoNCE with in-batch and hard negatives (arXiv 1807.03748,
//! 2103.00020, 2004.04906).

use espalier_kernels::gemm::{Matrix, MatrixMut, Start, Update, gemm};
use espalier_kernels::loss::cross_entropy;
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};
use std::collections::HashSet;
use std::hash::Hash;

/// Scores are computed for this many texts at a time, so that memory is linear and not quadratic in
/// the size of the batch.
const ROWS: usize = 256;

/// Symmetric InfoNCE on n pairs of text vectors (a_i, p_i) and q hard negatives:
///
/// ```text
/// c = p_1 .. p_n, then the hard negatives
/// S_ij = <a_i, c_j> / (|a_i| |c_j| tau)
/// loss = 1/2 [ mean_i CE(S_i., i) + mean_(j <= n) CE(S_.j, j) ]
/// ```
///
/// An anchor with several positives makes a pair with each of them, and these are not negatives of
/// each other (see [`false_negatives`]). Hard negatives are used in the first term only.
///
/// ```
/// use espalier_train::objectives::pairs::loss::InfoNce;
///
/// // Two pairs, each of equal vectors, orthogonal to the other pair. With tau = 1, S is the
/// // identity, and every term is -ln(e / (e + 1)) = ln(1 + 1/e).
/// let (mut anchors, mut positives) = ([1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]);
/// let loss = InfoNce { temperature: 1.0 }.loss(2, &mut anchors, &mut positives, &[], 1.0);
/// assert!((loss - (-1f64).exp().ln_1p()).abs() < 1e-6);
/// // The anchors now hold their gradients: descent turns the first away from the second positive.
/// assert!(anchors[1] > 0.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InfoNce {
    /// tau. The smaller it is, the more the hardest negatives count.
    pub temperature: f32,
}

impl InfoNce {
    /// The loss of vectors of width H, not weighted. `anchors` [n, H] and `candidates` [n + q, H]
    /// (the positives in the order of the anchors, then the hard negatives) are overwritten with
    /// the gradients of `weight * loss`.
    ///
    /// `excluded` [n, n + q] marks the pairs of anchor and candidate that are false negatives. It
    /// is empty if there are none.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn loss(
        &self,
        width: usize,
        anchors: &mut [f32],
        candidates: &mut [f32],
        excluded: &[bool],
        weight: f32,
    ) -> f64 {
        let (n, m) = (anchors.len() / width, candidates.len() / width);
        let fits = n <= m && (excluded.is_empty() || excluded.len() == n * m);
        assert!(fits, "InfoNce: shapes do not fit");
        let (mut anchor_norms, mut candidate_norms) = (vec![0.0; n], vec![0.0; m]);
        l2_normalize(anchors, width, &mut anchor_norms);
        l2_normalize(candidates, width, &mut candidate_norms);

        let (mut d_anchors, mut d_candidates) = (vec![0.0; n * width], vec![0.0; m * width]);
        let is_excluded = |i: usize, j: usize| !excluded.is_empty() && excluded[i * m + j];
        let one_direction =
            OneDirection { temperature: self.temperature, width, weight: 0.5 * weight };
        let from_anchors =
            one_direction.loss(anchors, candidates, is_excluded, &mut d_anchors, &mut d_candidates);
        let (positives, d_positives) = (&candidates[..n * width], &mut d_candidates[..n * width]);
        let is_excluded = |j: usize, i: usize| is_excluded(i, j);
        let from_positives =
            one_direction.loss(positives, anchors, is_excluded, d_positives, &mut d_anchors);

        l2_normalize_backward(anchors, &anchor_norms, width, &mut d_anchors);
        l2_normalize_backward(candidates, &candidate_norms, width, &mut d_candidates);
        anchors.copy_from_slice(&d_anchors);
        candidates.copy_from_slice(&d_candidates);
        0.5 * (from_anchors + from_positives)
    }
}

/// One of the two terms: the cross-entropy of queries against keys, where key i is the positive of
/// query i.
struct OneDirection {
    temperature: f32,
    width: usize,
    weight: f32,
}

impl OneDirection {
    /// The mean loss of `queries` [n, H] against `keys` [m, H], all of length one. Adds the
    /// gradients of `weight * loss`.
    fn loss(
        &self,
        queries: &[f32],
        keys: &[f32],
        excluded: impl Fn(usize, usize) -> bool,
        d_queries: &mut [f32],
        d_keys: &mut [f32],
    ) -> f64 {
        let width = self.width;
        let (n, m) = (queries.len() / width, keys.len() / width);
        let k = Matrix::new(keys, m, width);
        let (mut total, mut scores) = (0.0, Vec::new());
        for start in (0..n).step_by(ROWS) {
            let rows = ROWS.min(n - start);
            let block = start * width..(start + rows) * width;
            let q = Matrix::new(&queries[block.clone()], rows, width);
            scores.resize(rows * m, 0.0);
            let update = Update { alpha: 1.0 / self.temperature, start: Start::Zero };
            gemm(q, k.t(), update, MatrixMut::new(&mut scores, rows, m));
            for (i, row) in scores.chunks_exact_mut(m).enumerate() {
                for (j, score) in
                    row.iter_mut().enumerate().filter(|(j, _)| excluded(start + i, *j))
                {
                    debug_assert_ne!(j, start + i, "the positive of a query cannot be excluded");
                    *score = f32::NEG_INFINITY;
                }
            }
            let targets: Vec<Option<u32>> = (start..start + rows).map(|i| Some(i as u32)).collect();
            let share = rows as f64 / n as f64; // the weight of this block in the mean
            total += share * cross_entropy(&mut scores, &targets, m);

            let factor = self.weight * share as f32 / self.temperature;
            let d_scores = Matrix::new(&scores, rows, m);
            let update = Update { alpha: factor, start: Start::Accumulate };
            gemm(d_scores, k, update, MatrixMut::new(&mut d_queries[block], rows, width));
            gemm(d_scores.t(), q, update, MatrixMut::new(d_keys, m, width));
        }
        total
    }
}

/// Marks the false negatives among n anchors and n + q candidates, [n, n + q]. Texts are given by
/// any identifier. Candidate j, other than the positive of pair i itself, is a false negative of
/// anchor i
///
/// - if it is the positive of pair j, and pairs i and j have the same anchor or the same positive,
/// - if it is the same text as the anchor,
/// - if it is a hard negative, but a positive of the same anchor in another pair.
///
/// The result is empty if no text occurs twice, which is usual.
pub fn false_negatives<T: Copy + Eq + Hash>(
    anchors: &[T],
    positives: &[T],
    negatives: &[T],
) -> Vec<bool> {
    let (n, m) = (anchors.len(), positives.len() + negatives.len());
    let texts: HashSet<T> = anchors.iter().chain(positives).chain(negatives).copied().collect();
    if texts.len() == n + m {
        return Vec::new();
    }
    let pairs: HashSet<(T, T)> = anchors.iter().copied().zip(positives.iter().copied()).collect();
    let mut excluded = Vec::with_capacity(n * m);
    for i in 0..n {
        let of_pair = |j: usize| {
            anchors[i] == anchors[j] || positives[i] == positives[j] || anchors[i] == positives[j]
        };
        excluded.extend((0..n).map(|j| i != j && of_pair(j)));
        excluded.extend(
            negatives.iter().map(|&text| anchors[i] == text || pairs.contains(&(anchors[i], text))),
        );
    }
    excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_texts_are_excluded() {
        let excluded = false_negatives(&["a", "a", "c"], &["x", "y", "a"], &[]);
        // Pairs 0 and 1 have the same anchor; positive 2 is the same text as anchors 0 and 1.
        assert_eq!(excluded, [false, true, true, true, false, true, false, false, false]);
        assert!(false_negatives(&["a", "b"], &["x", "y"], &["u"]).is_empty());
    }

    #[test]
    fn hard_negatives_that_are_positives_of_the_anchor_are_excluded() {
        // "y" is a positive of "a" in another pair, "b" is an anchor itself, "u" is a negative of
        // every anchor.
        let excluded = false_negatives(&["a", "a", "b"], &["x", "y", "z"], &["y", "b", "u"]);
        let hard: Vec<&[bool]> = excluded.chunks(6).map(|row| &row[3..]).collect();
        assert_eq!(hard, [[true, false, false], [true, false, false], [false, true, false]]);
    }
}
