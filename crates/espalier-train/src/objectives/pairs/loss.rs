//! The loss of text pairs: symmetric InfoNCE with in-batch and hard negatives (arXiv 1807.03748,
//! 2103.00020, 2004.04906).

use super::scores::PairScores;
use espalier_kernels::loss::cross_entropy;
use std::collections::HashSet;
use std::hash::Hash;

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
        let scores = PairScores { width, temperature: self.temperature, excluded };
        scores.loss(anchors, candidates, weight, |_, rows, scores| {
            let keys = scores.len() / rows.len();
            let targets: Vec<Option<u32>> = rows.map(|i| Some(i as u32)).collect();
            cross_entropy(scores, &targets, keys)
        })
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
