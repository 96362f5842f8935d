//! The scores of anchors against candidates, and symmetric losses on them.

use espalier_kernels::gemm::{Matrix, MatrixMut, Start, Update, gemm};
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};
use std::ops::Range;

/// Scores are computed for this many texts at a time, so that memory is linear and not quadratic in
/// the size of the batch.
const ROWS: usize = 256;

/// The scores of n anchors a_i against m candidates c_j, of which the first n are the positives:
/// `S_ij = <a_i, c_j> / tau`, for vectors of length one.
#[derive(Clone, Copy)]
pub(super) struct PairScores<'a> {
    /// The width of the vectors.
    pub(super) width: usize,
    /// tau.
    pub(super) temperature: f32,
    /// Marks false negatives, whose score is minus infinity, [n, m]; empty if there are none.
    pub(super) excluded: &'a [bool],
}

/// One of the two halves of a symmetric loss: queries against keys, where key i is the positive of
/// query i.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    /// Anchors against candidates: the rows of S, [n, m].
    FromAnchors,
    /// Positives against anchors: the first n columns of S, transposed, [n, n].
    FromPositives,
}

impl Direction {
    /// The queries and the keys.
    fn of<'v>(self, anchors: &'v [f32], candidates: &'v [f32]) -> (&'v [f32], &'v [f32]) {
        match self {
            Self::FromAnchors => (anchors, candidates),
            Self::FromPositives => (&candidates[..anchors.len()], anchors),
        }
    }

    /// As [`Direction::of`].
    fn of_mut<'v>(
        self,
        anchors: &'v mut [f32],
        candidates: &'v mut [f32],
    ) -> (&'v mut [f32], &'v mut [f32]) {
        match self {
            Self::FromAnchors => (anchors, candidates),
            Self::FromPositives => (&mut candidates[..anchors.len()], anchors),
        }
    }
}

impl PairScores<'_> {
    /// The mean of both directions' losses, not weighted. `anchors` [n, H] and `candidates` [m, H],
    /// of any length, are overwritten with the gradients of `weight * loss`.
    ///
    /// `rows_loss` is the mean loss of a range of queries. It gets their scores against all keys,
    /// and overwrites them with its gradient.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub(super) fn loss(
        &self,
        anchors: &mut [f32],
        candidates: &mut [f32],
        weight: f32,
        mut rows_loss: impl FnMut(Direction, Range<usize>, &mut [f32]) -> f64,
    ) -> f64 {
        let width = self.width;
        let (n, m) = (anchors.len() / width, candidates.len() / width);
        let fits = n <= m && (self.excluded.is_empty() || self.excluded.len() == n * m);
        assert!(fits, "PairScores: shapes do not fit");
        let (mut anchor_norms, mut candidate_norms) = (vec![0.0; n], vec![0.0; m]);
        l2_normalize(anchors, width, &mut anchor_norms);
        l2_normalize(candidates, width, &mut candidate_norms);

        let (mut d_anchors, mut d_candidates) = (vec![0.0; n * width], vec![0.0; m * width]);
        let [from_anchors, from_positives] = [Direction::FromAnchors, Direction::FromPositives]
            .map(|direction| {
                let (vectors, weight) = ((&*anchors, &*candidates), 0.5 * weight);
                let gradients = direction.of_mut(&mut d_anchors, &mut d_candidates);
                self.half(direction, vectors, gradients, weight, |rows, scores| {
                    rows_loss(direction, rows, scores)
                })
            });

        l2_normalize_backward(anchors, &anchor_norms, width, &mut d_anchors);
        l2_normalize_backward(candidates, &candidate_norms, width, &mut d_candidates);
        anchors.copy_from_slice(&d_anchors);
        candidates.copy_from_slice(&d_candidates);
        0.5 * (from_anchors + from_positives)
    }

    /// The loss of one direction. Adds the gradients of `weight * loss`.
    fn half(
        &self,
        direction: Direction,
        (anchors, candidates): (&[f32], &[f32]),
        (d_queries, d_keys): (&mut [f32], &mut [f32]),
        weight: f32,
        mut rows_loss: impl FnMut(Range<usize>, &mut [f32]) -> f64,
    ) -> f64 {
        let width = self.width;
        let (queries, keys) = direction.of(anchors, candidates);
        let (n, m) = (queries.len() / width, keys.len() / width);
        let k = Matrix::new(keys, m, width);
        let (mut total, mut scores) = (0.0, Vec::new());
        for start in (0..n).step_by(ROWS) {
            let rows = start..n.min(start + ROWS);
            self.scores(direction, anchors, candidates, rows.clone(), &mut scores);
            let share = rows.len() as f64 / n as f64; // the weight of these rows in the mean
            total += share * rows_loss(rows.clone(), &mut scores);

            let (count, block) = (rows.len(), rows.start * width..rows.end * width);
            let q = Matrix::new(&queries[block.clone()], count, width);
            let d_scores = Matrix::new(&scores, count, m);
            let factor = weight * share as f32 / self.temperature;
            let update = Update { alpha: factor, start: Start::Accumulate };
            gemm(d_scores, k, update, MatrixMut::new(&mut d_queries[block], count, width));
            gemm(d_scores.t(), q, update, MatrixMut::new(d_keys, m, width));
        }
        total
    }

    /// Writes the scores of a range of queries against all keys, for `anchors` and `candidates` of
    /// length one.
    pub(super) fn scores(
        &self,
        direction: Direction,
        anchors: &[f32],
        candidates: &[f32],
        rows: Range<usize>,
        scores: &mut Vec<f32>,
    ) {
        let width = self.width;
        let (queries, keys) = direction.of(anchors, candidates);
        let (count, m) = (rows.len(), keys.len() / width);
        let q = Matrix::new(&queries[rows.start * width..rows.end * width], count, width);
        let k = Matrix::new(keys, m, width);
        scores.resize(count * m, 0.0);
        let update = Update { alpha: 1.0 / self.temperature, start: Start::Zero };
        gemm(q, k.t(), update, MatrixMut::new(scores, count, m));
        if self.excluded.is_empty() {
            return;
        }
        let candidates = candidates.len() / width;
        for (query, row) in rows.zip(scores.chunks_exact_mut(m)) {
            for (key, score) in row.iter_mut().enumerate() {
                let at = match direction {
                    Direction::FromAnchors => query * candidates + key,
                    Direction::FromPositives => key * candidates + query,
                };
                if self.excluded[at] {
                    debug_assert_ne!(key, query, "the positive of a query cannot be excluded");
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }
}
