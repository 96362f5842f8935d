//! Contrast of text pairs: InfoNCE with in-batch negatives, both ways (arXiv 1807.03748, 2103.00020).

use espalier_kernels::gemm::{Matrix, MatrixMut, Start, gemm};
use espalier_kernels::loss::cross_entropy;
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};
use std::collections::HashSet;

/// Symmetric InfoNCE on n pairs of text vectors:
///
/// ```text
/// S_ij = <a_i, p_j> / (|a_i| |p_j| tau)
/// loss = 1/2 [ mean_i CE(S_i., i) + mean_j CE(S_.j, j) ]
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PairObjective {
    /// tau: the smaller, the more the hardest negatives count.
    pub temperature: f32,
}

impl PairObjective {
    /// The loss. `anchors` and `positives` [n, H] become the gradients of `weight * loss` at them.
    ///
    /// `excluded` [n, n] marks the (anchor, positive) entries that are no negatives (see [`false_negatives`]).
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn loss(
        &self,
        width: usize,
        anchors: &mut [f32],
        positives: &mut [f32],
        excluded: &[bool],
        weight: f32,
    ) -> f64 {
        let n = anchors.len() / width;
        assert!(positives.len() == anchors.len() && excluded.len() == n * n, "PairObjective: shapes do not fit");
        let (mut anchor_norms, mut positive_norms) = (vec![0.0; n], vec![0.0; n]);
        l2_normalize(anchors, width, &mut anchor_norms);
        l2_normalize(positives, width, &mut positive_norms);
        let (a, p) = (Matrix::new(anchors, n, width), Matrix::new(positives, n, width));

        let mut scores = vec![0.0; n * n]; // [anchor, positive]
        gemm(1.0 / self.temperature, a, p.t(), Start::Zero, MatrixMut::new(&mut scores, n, n));
        for (score, _) in scores.iter_mut().zip(excluded).filter(|(_, excluded)| **excluded) {
            *score = f32::NEG_INFINITY;
        }
        let mut transposed = transpose(&scores, n); // [positive, anchor]
        let targets: Vec<Option<u32>> = (0..n as u32).map(Some).collect();
        let forth = cross_entropy(&mut scores, &targets, n);
        let back = cross_entropy(&mut transposed, &targets, n);
        for (d, back) in scores.iter_mut().zip(transpose(&transposed, n)) {
            *d = 0.5 * weight * (*d + back);
        }

        let d_scores = Matrix::new(&scores, n, n);
        let (mut d_a, mut d_p) = (vec![0.0; n * width], vec![0.0; n * width]);
        gemm(1.0 / self.temperature, d_scores, p, Start::Zero, MatrixMut::new(&mut d_a, n, width));
        gemm(1.0 / self.temperature, d_scores.t(), a, Start::Zero, MatrixMut::new(&mut d_p, n, width));
        l2_normalize_backward(anchors, &anchor_norms, width, &mut d_a);
        l2_normalize_backward(positives, &positive_norms, width, &mut d_p);
        anchors.copy_from_slice(&d_a);
        positives.copy_from_slice(&d_p);
        0.5 * (forth + back)
    }
}

fn transpose(x: &[f32], n: usize) -> Vec<f32> {
    (0..n * n).map(|index| x[index % n * n + index / n]).collect()
}

/// Marks the (anchor i, positive j) entries, i != j, in which positive j is right for anchor i all the same: the two pairs share
/// an anchor or a positive, or the texts are one and the same.
pub fn false_negatives<T: Eq + std::hash::Hash>(anchors: &[T], positives: &[T]) -> Vec<bool> {
    let n = anchors.len();
    let mut excluded = vec![false; n * n];
    let texts: HashSet<&T> = anchors.iter().chain(positives).collect();
    if texts.len() == 2 * n {
        return excluded; // No text comes twice: the usual case.
    }
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            excluded[i * n + j] =
                anchors[i] == anchors[j] || positives[i] == positives[j] || anchors[i] == positives[j];
        }
    }
    excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_texts_are_no_negatives() {
        let excluded = false_negatives(&["a", "a", "c"], &["x", "y", "a"]);
        // Pairs 0 and 1 share their anchor; positive 2 is the very text of anchors 0 and 1.
        assert_eq!(excluded, [false, true, true, true, false, true, false, false, false]);
        assert!(false_negatives(&["a", "b"], &["x", "y"]).iter().all(|&excluded| !excluded));
    }
}
