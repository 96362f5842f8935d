//! The losses of distillation: the student's word vectors against the teacher's output.

use crate::config::DistillLossKind;
use espalier_encoder::Head;
use espalier_kernels::layer_norm::{
    LayerNorm, RowStats, SavedLayerNorm, layer_norm, layer_norm_backward,
};
use espalier_kernels::pooling::{l2_normalize, l2_normalize_backward};

/// Added to variances; PyTorch's default.
const EPS: f32 = 1e-5;

/// The loss of distillation, a weighted mean over words.
///
/// Let h_w be the student's vector of word w, t_w the teacher's output for it, and a_w its weight.
/// P is a linear map to the teacher's width with bias b, and LN is a LayerNorm without weight and
/// bias.
///
/// ```text
/// cosine: sum_w a_w [1 - cos(P h_w, t_w)] / sum_w a_w
/// mse:    sum_w a_w [mean over the elements of (LN(P h_w) - LN(t_w))^2] / sum_w a_w
/// kl:     sum_w a_w tau^2 KL(softmax(t_w / tau) || softmax((P h_w + b) / tau)) / sum_w a_w
/// ```
///
/// The last is from Hinton et al. (arXiv 1503.02531); there, t_w are tag scores. The factor tau^2
/// makes the size of the gradients independent of tau. With the first two losses the bias should be
/// zero and not be trained.
///
/// ```
/// use espalier_encoder::Head;
/// use espalier_train::config::DistillLossKind;
/// use espalier_train::objectives::distill::loss::{DistillLoss, WordBatch};
///
/// // Two words and P the identity. The first is orthogonal to its target (1 - cos = 1), the second
/// // is equal to it (1 - cos = 0). With weights 1 and 3 the mean is 1/4.
/// let words = WordBatch {
///     vectors: &[1.0, 0.0, 1.0, 1.0],
///     targets: &[0.0, 1.0, 1.0, 1.0],
///     weights: &[1.0, 3.0],
/// };
/// let map = Head { classes: 2, values: vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0] };
/// let loss = DistillLoss { kind: DistillLossKind::Cosine, temperature: 1.0 };
/// let (mut d_vectors, mut d_map) = (Vec::new(), vec![0.0; 6]);
/// let value = loss.loss(words, &map, 1.0, &mut d_vectors, &mut d_map);
/// assert!((value - 0.25).abs() < 1e-6);
/// assert!(d_vectors[1] < 0.0); // descent turns the first vector towards its target
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DistillLoss {
    /// Which loss.
    pub kind: DistillLossKind,
    /// tau.
    pub temperature: f32,
}

/// The words of a batch.
#[derive(Clone, Copy, Debug)]
pub struct WordBatch<'a> {
    /// The student's vectors, [n, H].
    pub vectors: &'a [f32],
    /// The teacher's vectors or scores, [n, D].
    pub targets: &'a [f32],
    /// The weights of the words, at least 0, `[n]`.
    pub weights: &'a [f32],
}

impl DistillLoss {
    /// The loss, not weighted; 0 if the weights of all words are 0. `map` is P and b, from H to D.
    ///
    /// `d_vectors` [n, H] is overwritten with the gradient of `weight * loss`. The gradient of the
    /// map is added to `d_map`.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn loss(
        &self,
        words: WordBatch,
        map: &Head,
        weight: f32,
        d_vectors: &mut Vec<f32>,
        d_map: &mut [f32],
    ) -> f64 {
        let n = words.weights.len();
        let fits = words.vectors.len() == n * map.width() && words.targets.len() == n * map.classes;
        assert!(fits, "DistillLoss: shapes do not fit");
        d_vectors.clear();
        d_vectors.resize(words.vectors.len(), 0.0);
        let total: f32 = words.weights.iter().sum();
        if total == 0.0 {
            return 0.0;
        }
        let mut y = Vec::new();
        map.forward(words.vectors, &mut y); // [n, D]
        let share = |word: usize| words.weights[word] / total;
        let loss = match self.kind {
            DistillLossKind::Cosine => cosine(&mut y, words.targets, map.classes, share),
            DistillLossKind::Mse => mse(&mut y, words.targets, map.classes, share),
            DistillLossKind::Kl => kl(&mut y, words.targets, map.classes, self.temperature, share),
        };
        y.iter_mut().for_each(|d| *d *= weight); // y is now the gradient
        map.backward(words.vectors, &y, d_map, d_vectors);
        loss
    }
}

/// The loss of rows `y` against `t`, both [n, D]. `y` is overwritten with the gradient.
fn cosine(y: &mut [f32], t: &[f32], width: usize, share: impl Fn(usize) -> f32) -> f64 {
    let n = y.len() / width;
    let (mut t, mut norms, mut lengths) = (t.to_vec(), vec![0.0; n], vec![0.0; n]);
    l2_normalize(&mut t, width, &mut lengths);
    l2_normalize(y, width, &mut norms);
    let mut loss = 0.0;
    for (word, (y, t)) in y.chunks_exact(width).zip(t.chunks_exact_mut(width)).enumerate() {
        let cosine: f64 = y.iter().zip(&*t).map(|(&y, &t)| f64::from(y) * f64::from(t)).sum();
        loss += f64::from(share(word)) * (1.0 - cosine);
        t.iter_mut().for_each(|t| *t *= -share(word)); // the gradient with respect to y
    }
    l2_normalize_backward(y, &norms, width, &mut t);
    y.copy_from_slice(&t);
    loss
}

/// As [`cosine`].
fn mse(y: &mut [f32], t: &[f32], width: usize, share: impl Fn(usize) -> f32) -> f64 {
    let n = y.len() / width;
    let (ones, zeros) = (vec![1.0; width], vec![0.0; width]);
    let norm = LayerNorm { weight: &ones, bias: &zeros, eps: EPS };
    let mut stats = vec![RowStats::default(); n];
    let (mut target, mut d) = (vec![0.0f32; t.len()], vec![0.0f32; y.len()]);
    layer_norm(t, norm, &mut target, &mut stats);
    layer_norm(y, norm, &mut d, &mut stats);
    let mut loss = 0.0;
    for (word, (d, t)) in d.chunks_exact_mut(width).zip(target.chunks_exact(width)).enumerate() {
        let scale = share(word) / width as f32;
        for (d, t) in d.iter_mut().zip(t) {
            let difference = *d - t;
            loss += f64::from(scale) * f64::from(difference).powi(2);
            *d = 2.0 * scale * difference;
        }
    }
    let saved = SavedLayerNorm { input: y, stats: &stats };
    layer_norm_backward(saved, &ones, &mut d, &mut target);
    y.copy_from_slice(&d);
    loss
}

/// As [`cosine`].
fn kl(y: &mut [f32], t: &[f32], classes: usize, tau: f32, share: impl Fn(usize) -> f32) -> f64 {
    let mut loss = 0.0;
    for (word, (y, t)) in y.chunks_exact_mut(classes).zip(t.chunks_exact(classes)).enumerate() {
        let (student, teacher) = (log_softmax(y, tau), log_softmax(t, tau));
        let divergence: f64 = student.iter().zip(&teacher).map(|(s, t)| t.exp() * (t - s)).sum();
        loss += f64::from(share(word)) * f64::from(tau).powi(2) * divergence;
        for ((y, s), t) in y.iter_mut().zip(&student).zip(&teacher) {
            *y = share(word) * tau * (s.exp() - t.exp()) as f32;
        }
    }
    loss
}

/// log(softmax(scores / tau)). A score of minus infinity has the probability 0.
pub(crate) fn log_softmax(scores: &[f32], tau: f32) -> Vec<f64> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scaled: Vec<f64> =
        scores.iter().map(|score| f64::from(score - max) / f64::from(tau)).collect();
    let log_sum = scaled.iter().map(|score| score.exp()).sum::<f64>().ln();
    scaled.into_iter().map(|score| score - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direct implementation in f64, with H = 3.
    fn reference(
        loss: DistillLossKind,
        tau: f64,
        [h, p, b]: [&[f64]; 3],
        t: &[f64],
        weights: &[f64],
    ) -> f64 {
        let d = b.len();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let softmax = |x: &[f64]| {
            let exp: Vec<f64> = x.iter().map(|x| (x / tau).exp()).collect();
            exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect::<Vec<f64>>()
        };
        let normal = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / d as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            x.iter().map(|x| (x - mean) / (variance + f64::from(EPS)).sqrt()).collect::<Vec<f64>>()
        };
        let word = |(h, t): (&[f64], &[f64])| {
            let y: Vec<f64> = p.chunks(3).zip(b).map(|(row, b)| dot(row, h) + b).collect();
            match loss {
                DistillLossKind::Cosine => 1.0 - dot(&y, t) / (dot(&y, &y) * dot(t, t)).sqrt(),
                DistillLossKind::Mse => {
                    normal(&y).iter().zip(normal(t)).map(|(y, t)| (y - t).powi(2)).sum::<f64>()
                        / d as f64
                }
                DistillLossKind::Kl => {
                    softmax(t).iter().zip(softmax(&y)).map(|(t, y)| t * (t / y).ln()).sum::<f64>()
                        * tau
                        * tau
                }
            }
        };
        let losses = h.chunks(3).zip(t.chunks(d)).map(word);
        losses.zip(weights).map(|(loss, weight)| loss * weight).sum::<f64>()
            / weights.iter().sum::<f64>()
    }

    /// Pseudorandom numbers from -1 to 1.
    fn noise(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|i| (12.9898 * (i as f64 + seed) + (78.233 * i as f64).cos()).sin()).collect()
    }

    fn to_f32(x: &[f64]) -> Vec<f32> {
        x.iter().map(|&x| x as f32).collect()
    }

    #[test]
    fn losses_match_a_reference_and_gradients_match_finite_differences() {
        let (n, d, tau, weight) = (4, 5, 1.7, 0.5);
        let (h, p, b, t) = (noise(n * 3, 1.0), noise(d * 3, 2.0), noise(d, 3.0), noise(n * d, 4.0));
        let weights = [1.0, 3.0, 0.0, 1.0];
        for loss in [DistillLossKind::Cosine, DistillLossKind::Mse, DistillLossKind::Kl] {
            let objective = DistillLoss { kind: loss, temperature: tau as f32 };
            let (vectors, targets, weights32) = (to_f32(&h), to_f32(&t), to_f32(&weights));
            let words = WordBatch { vectors: &vectors, targets: &targets, weights: &weights32 };
            let map = Head { classes: d, values: to_f32(&[p.clone(), b.clone()].concat()) };
            let (mut d_vectors, mut d_map) = (Vec::new(), vec![0.0; map.values.len()]);
            let found = objective.loss(words, &map, weight, &mut d_vectors, &mut d_map);
            let expected = reference(loss, tau, [&h, &p, &b], &t, &weights);
            assert!(
                (found - expected).abs() < 1e-6 * expected,
                "{loss:?}: {found}, not {expected}"
            );

            let (d_p, d_b) = d_map.split_at(d * 3);
            for (which, found) in [d_vectors.as_slice(), d_p, d_b].into_iter().enumerate() {
                for (at, &found) in found.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut x = [h.clone(), p.clone(), b.clone()];
                        x[which][at] += by;
                        reference(loss, tau, [&x[0], &x[1], &x[2]], &t, &weights)
                    };
                    let expected = f64::from(weight) * (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!(
                        (f64::from(found) - expected).abs() < 2e-6,
                        "{loss:?} {which}[{at}]: {found}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn equal_vectors_and_words_of_weight_zero_have_no_loss_and_no_gradient() {
        let vectors = to_f32(&noise(6, 1.0));
        let map = Head {
            classes: 3,
            values: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        };
        for loss in [DistillLossKind::Cosine, DistillLossKind::Mse, DistillLossKind::Kl] {
            for (targets, weights) in [(vectors.clone(), [1.0, 2.0]), (vec![0.5; 6], [0.0, 0.0])] {
                let words = WordBatch { vectors: &vectors, targets: &targets, weights: &weights };
                let (mut d_vectors, mut d_map) = (Vec::new(), vec![0.0; 12]);
                let objective = DistillLoss { kind: loss, temperature: 2.0 };
                let found = objective.loss(words, &map, 1.0, &mut d_vectors, &mut d_map);
                assert!(found.abs() < 1e-6, "{loss:?}: {found}");
                assert!(
                    d_vectors.iter().chain(&d_map).all(|d| d.abs() < 1e-6),
                    "{loss:?}: {d_vectors:?} {d_map:?}"
                );
            }
        }
    }
}
