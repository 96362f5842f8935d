//! The loss of a linear classification head, on tokens (NER) or on texts.

use espalier_encoder::{Batch, Head, Pooling};
use espalier_kernels::loss::{cross_entropy, weighted_cross_entropy};

/// Softmax cross-entropy of a linear head, with reusable buffers.
///
/// ```
/// use espalier_encoder::{Batch, Head, Pooling};
/// use espalier_train::objectives::classification::loss::ClassificationLoss;
///
/// // One text of two tokens, mean-pooled to (1, 0), and a head of two classes whose weights and
/// // biases are zero: both classes have probability 1/2, and the loss is ln 2.
/// let (batch, hidden) = (Batch::new([[7, 8].as_slice()]), [1.0, 1.0, 1.0, -1.0]);
/// let head = Head { classes: 2, values: vec![0.0; 2 * 2 + 2] };
/// let (mut loss, mut d_head) = (ClassificationLoss::default(), vec![0.0; 6]);
/// let value = loss.texts(&head, Pooling::Mean, &hidden, &batch, &[Some(0)], &mut d_head);
/// assert!((value - 2f64.ln()).abs() < 1e-6);
/// // Gradients of the weights, (p - y) x, and of the biases, p - y, with p - y = (-1/2, 1/2).
/// assert_eq!(d_head, [-0.5, 0.0, 0.5, 0.0, -0.5, 0.5]);
/// ```
#[derive(Debug, Default)]
pub struct ClassificationLoss {
    /// The gradient of the last loss with respect to the hidden states, [T, H].
    pub d_hidden: Vec<f32>,
    pooled: Vec<f32>,
    scores: Vec<f32>,
    d_pooled: Vec<f32>,
}

/// Target classes of tokens, with weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightedTargets {
    /// The class of each token, `[T]`; `None` for tokens that are ignored.
    pub classes: Vec<Option<u32>>,
    /// The weight of each token, `[T]`.
    pub weights: Vec<f32>,
}

impl ClassificationLoss {
    /// The loss of hidden states `hidden` [T, H] against `targets` `[T]`: the weighted mean over
    /// the tokens that have a target.
    ///
    /// The gradient of the head is added to `d_head`. The gradient with respect to the hidden
    /// states is in [`ClassificationLoss::d_hidden`] afterwards.
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn tokens(
        &mut self,
        head: &Head,
        hidden: &[f32],
        targets: &WeightedTargets,
        d_head: &mut [f32],
    ) -> f64 {
        head.forward(hidden, &mut self.scores); // [T, C]
        let WeightedTargets { classes, weights } = targets;
        let loss = weighted_cross_entropy(&mut self.scores, classes, weights, head.classes);
        head.backward(hidden, &self.scores, d_head, &mut self.d_hidden);
        loss
    }

    /// The loss of the pooled hidden states of n texts, `hidden` [T, H], against `targets` `[n]`:
    /// the mean over the texts that have a target.
    ///
    /// Gradients are returned as by [`ClassificationLoss::tokens`].
    ///
    /// # Panics
    /// If the shapes do not match.
    pub fn texts(
        &mut self,
        head: &Head,
        pooling: Pooling,
        hidden: &[f32],
        batch: &Batch,
        targets: &[Option<u32>],
        d_head: &mut [f32],
    ) -> f64 {
        let width = head.width();
        pooling.forward(hidden, batch, width, &mut self.pooled); // [n, H]
        head.forward(&self.pooled, &mut self.scores); // [n, C]
        let loss = cross_entropy(&mut self.scores, targets, head.classes);
        head.backward(&self.pooled, &self.scores, d_head, &mut self.d_pooled);
        pooling.backward(&self.d_pooled, batch, width, &mut self.d_hidden);
        loss
    }
}
