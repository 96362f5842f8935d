//! Contrast of text pairs: InfoNCE with in-batch and hard negatives, both ways (arXiv 1807.03748,
//! 2103.00020, 2004.04906).

use espalier_kernels::gemm::{Matrix, MatrixMut, Start, Update, gemm};
use espalier_kernels::loss::cross_entropy;
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};
use std::collections::HashSet;
use std::hash::Hash;

/// Scores are computed for this many texts at a time, so that memory grows with the batch and not
/// with its square.
const ROWS: usize = 256;

/// Symmetric InfoNCE on n pairs of text vectors (a_i, p_i) and q hard negatives:
///
/// ```text
/// c = p_1 .. p_n, then the hard negatives
/// S_ij = <a_i, c_j> / (|a_i| |c_j| tau)
/// loss = 1/2 [ mean_i CE(S_i., i) + mean_(j <= n) CE(S_.j, j) ]
/// ```
///
/// An anchor with several positives makes as many pairs, which are no negatives of each other (see
/// [`false_negatives`]). Hard negatives take part on the way from anchors to texts alone.
#[derive(Clone, Copy, Debug)]
pub struct InfoNce {
    /// tau: the smaller, the more the hardest negatives count.
    pub temperature: f32,
}

impl InfoNce {
    /// The loss. `anchors` [n, H] and `candidates` [n + q, H] (the positives in order, then the
    /// hard negatives) become the gradients of `weight * loss` at them.
    ///
    /// `excluded` [n, n + q] marks the (anchor, candidate) entries that are no negatives; empty,
    /// there are none.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
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
        let way = OneWay { temperature: self.temperature, width, weight: 0.5 * weight };
        let forth = way.loss(anchors, candidates, is_excluded, &mut d_anchors, &mut d_candidates);
        let (positives, d_positives) = (&candidates[..n * width], &mut d_candidates[..n * width]);
        let back =
            way.loss(positives, anchors, |j, i| is_excluded(i, j), d_positives, &mut d_anchors);

        l2_normalize_backward(anchors, &anchor_norms, width, &mut d_anchors);
        l2_normalize_backward(candidates, &candidate_norms, width, &mut d_candidates);
        anchors.copy_from_slice(&d_anchors);
        candidates.copy_from_slice(&d_candidates);
        0.5 * (forth + back)
    }
}

/// Cross-entropy of queries against keys, of which the i-th is right for query i.
struct OneWay {
    temperature: f32,
    width: usize,
    weight: f32,
}

impl OneWay {
    /// The mean loss of `queries` [n, H] among `keys` [m, H], all of length one. The gradients of
    /// `weight * loss` are added.
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
                    debug_assert_ne!(j, start + i, "what is right for a query cannot be excluded");
                    *score = f32::NEG_INFINITY;
                }
            }
            let targets: Vec<Option<u32>> = (start..start + rows).map(|i| Some(i as u32)).collect();
            let share = rows as f64 / n as f64; // of the mean over all queries
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

/// Marks the entries of n anchors and the candidates, [n, n + q], that are no negatives: candidate
/// j, unless it is anchor i's own positive, is right for anchor i all the same, because the two
/// pairs share an anchor or a positive, because the texts are one and the same, or because a hard
/// negative is a positive of that very anchor in another pair.
///
/// Empty where no text comes twice, which is the usual case.
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
    fn repeated_texts_are_no_negatives() {
        let excluded = false_negatives(&["a", "a", "c"], &["x", "y", "a"], &[]);
        // Pairs 0 and 1 share their anchor; positive 2 is the very text of anchors 0 and 1.
        assert_eq!(excluded, [false, true, true, true, false, true, false, false, false]);
        assert!(false_negatives(&["a", "b"], &["x", "y"], &["u"]).is_empty());
    }

    #[test]
    fn hard_negatives_that_are_right_elsewhere_do_not_count_there() {
        // "y" is a positive of "a" in another pair, "b" is an anchor itself, "u" is wrong for all.
        let excluded = false_negatives(&["a", "a", "b"], &["x", "y", "z"], &["y", "b", "u"]);
        let hard: Vec<&[bool]> = excluded.chunks(6).map(|row| &row[3..]).collect();
        assert_eq!(hard, [[true, false, false], [true, false, false], [false, true, false]]);
    }
}
