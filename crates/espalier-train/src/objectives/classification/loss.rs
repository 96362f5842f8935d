//! Classification by a linear head: of tokens (NER) and of texts.

use espalier_encoder::{Batch, Head, Pooling};
use espalier_kernels::loss::{cross_entropy, weighted_cross_entropy};

/// Softmax cross-entropy of a head, averaged over what has a target; holds the buffers of its
/// passes.
#[derive(Debug, Default)]
pub struct ClassificationLoss {
    /// Gradient at the token vectors, [T, H], of the last loss.
    pub d_hidden: Vec<f32>,
    pooled: Vec<f32>,
    scores: Vec<f32>,
    d_pooled: Vec<f32>,
}

/// Classes of tokens, and how much each counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightedTargets {
    /// The class of each token, if it has one, `[T]`.
    pub classes: Vec<Option<u32>>,
    /// Its weight, `[T]`.
    pub weights: Vec<f32>,
}

impl ClassificationLoss {
    /// Loss of token vectors `hidden` [T, H] against `targets` `[T]`, each with its weight in the
    /// mean; tokens without a target do not count.
    ///
    /// The head's gradient is added to `d_head`; that at the token vectors is left in
    /// [`ClassificationLoss::d_hidden`].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
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

    /// Loss of the pooled vectors of n texts, out of their token vectors `hidden` [T, H], against
    /// `targets` `[n]`.
    ///
    /// Gradients go where those of [`ClassificationLoss::tokens`] go.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
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
