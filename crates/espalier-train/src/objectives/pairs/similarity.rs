//! Matching a teacher's similarities within a batch of text pairs.

use super::scores::PairScores;
use crate::objectives::distill::loss::log_softmax;
use rayon::prelude::*;

/// The Kullback-Leibler divergence of the student's distributions over the texts of a batch from
/// the teacher's, in both directions, as [`InfoNce`](super::loss::InfoNce) compares them:
///
/// ```text
/// c = p_1 .. p_n, then q hard negatives
/// S_ij = cos(a_i, c_j) / tau of the student's vectors, T_ij of the teacher's
/// loss = 1/2 [ mean_i KL(softmax(T_i.) || softmax(S_i.))
///            + mean_(j <= n) KL(softmax(T_.j) || softmax(S_.j)) ]
/// ```
///
/// This is the relational distillation of CLIP-KD (arXiv 2307.12732), after SEED (arXiv
/// 2101.04731). False negatives are left out of every softmax. There is no factor tau^2: the
/// gradient at a score, (softmax(S) - softmax(T)) / tau, has the scale of InfoNCE's.
///
/// ```
/// use espalier_train::objectives::pairs::similarity::{SimilarityLoss, TeacherPairs};
///
/// // The student confuses the two pairs and the teacher does not: with tau = 1 each row is
/// // KL((e, 1) / (e + 1) || (1, 1) / 2).
/// let teacher = TeacherPairs {
///     width: 2,
///     anchors: &[1.0, 0.0, 0.0, 1.0],
///     candidates: &[1.0, 0.0, 0.0, 1.0],
/// };
/// let (mut anchors, mut candidates) = ([2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]);
/// let similarities = SimilarityLoss { temperature: 1.0 };
/// let loss = similarities.loss(2, &mut anchors, &mut candidates, teacher, &[], 1.0);
/// let e = 1f64.exp();
/// assert!((loss - (2f64.ln() + e / (e + 1.0) - (e + 1.0).ln())).abs() < 1e-6);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SimilarityLoss {
    /// tau, for student and teacher.
    pub temperature: f32,
}

/// The teacher's vectors of the texts of a batch, of length one.
#[derive(Clone, Copy, Debug)]
pub struct TeacherPairs<'a> {
    /// D, the width of the vectors.
    pub width: usize,
    /// The anchors, [n, D].
    pub anchors: &'a [f32],
    /// The positives in the order of the anchors, then the hard negatives, [n + q, D].
    pub candidates: &'a [f32],
}

impl SimilarityLoss {
    /// The loss of vectors of width H, not weighted. `anchors` [n, H] and `candidates` [n + q, H]
    /// are overwritten with the gradients of `weight * loss`. `excluded` [n, n + q] marks false
    /// negatives; it is empty if there are none.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn loss(
        &self,
        width: usize,
        anchors: &mut [f32],
        candidates: &mut [f32],
        teacher: TeacherPairs,
        excluded: &[bool],
        weight: f32,
    ) -> f64 {
        let fits = teacher.anchors.len() * width == anchors.len() * teacher.width
            && teacher.candidates.len() * width == candidates.len() * teacher.width;
        assert!(fits, "SimilarityLoss: shapes do not fit");
        let student = PairScores { width, temperature: self.temperature, excluded };
        let (of_teacher, mut targets) =
            (PairScores { width: teacher.width, ..student }, Vec::new());
        student.loss(anchors, candidates, weight, |direction, rows, scores| {
            let TeacherPairs { anchors, candidates, .. } = teacher;
            of_teacher.scores(direction, anchors, candidates, rows.clone(), &mut targets);
            divergence(scores, &targets, rows.len())
        })
    }
}

/// The mean over n rows of KL(softmax(targets) || softmax(scores)), both [n, m]. `scores` is
/// overwritten with the gradient. Where both are minus infinity, they count as probability 0.
fn divergence(scores: &mut [f32], targets: &[f32], n: usize) -> f64 {
    let m = targets.len() / n;
    let row = |(scores, targets): (&mut [f32], &[f32])| {
        let (student, teacher) = (log_softmax(scores, 1.0), log_softmax(targets, 1.0));
        let mut sum = 0.0;
        for ((score, s), t) in scores.iter_mut().zip(student).zip(teacher) {
            let probability = t.exp();
            if probability > 0.0 {
                sum += probability * (t - s);
            }
            *score = ((s.exp() - probability) / n as f64) as f32;
        }
        sum
    };
    let rows = scores.par_chunks_exact_mut(m).zip(targets.par_chunks_exact(m));
    let sums: Vec<f64> = rows.map(row).collect(); // summed in order, whatever the threads
    sums.iter().sum::<f64>() / n as f64
}
