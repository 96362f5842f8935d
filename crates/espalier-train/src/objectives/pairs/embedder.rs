//! Text vectors, and the way back from their gradients.

use crate::network::Pass;
use espalier_encoder::{Batch, Encoded, Pooling};

/// Embeds texts, all at once or in chunks.
///
/// In chunks this is GradCache (arXiv 2101.06983): texts are embedded without keeping activations.
/// When the gradients with respect to their vectors are known, each chunk runs forward again and
/// then backward. This needs memory for the activations of one chunk only, and costs a second
/// forward pass.
pub(super) struct TextEmbedder {
    pub(super) pooling: Pooling,
    /// The number of texts of a chunk; 0 for all at once.
    pub(super) chunk: usize,
}

impl TextEmbedder {
    /// The text vectors, [n, H].
    pub(super) fn forward(&self, pass: &mut Pass, texts: &[Encoded]) -> Vec<f32> {
        let (width, mut vectors) = (pass.width(), Vec::new());
        if self.at_once(texts) {
            let batch = Batch::from_texts(texts);
            self.pooling.forward(pass.forward(&batch), &batch, width, &mut vectors);
            return vectors;
        }
        let mut pooled = Vec::new();
        for chunk in texts.chunks(self.chunk) {
            let batch = Batch::from_texts(chunk);
            self.pooling.forward(&pass.encode(&batch), &batch, width, &mut pooled);
            vectors.extend_from_slice(&pooled);
        }
        vectors
    }

    /// Adds the gradients of all trained parameters. `d_vectors` [n, H] is the gradient with
    /// respect to the result of the last [`TextEmbedder::forward`], which had the same texts.
    pub(super) fn backward(&self, pass: &mut Pass, texts: &[Encoded], d_vectors: &[f32]) {
        let (width, at_once, mut d_hidden) = (pass.width(), self.at_once(texts), Vec::new());
        let chunk = if at_once { texts.len() } else { self.chunk };
        for (texts, d_vectors) in texts.chunks(chunk).zip(d_vectors.chunks(chunk * width)) {
            let batch = Batch::from_texts(texts);
            if !at_once {
                pass.forward(&batch);
            }
            self.pooling.backward(d_vectors, &batch, width, &mut d_hidden);
            pass.backward(&batch, &mut d_hidden);
        }
    }

    fn at_once(&self, texts: &[Encoded]) -> bool {
        self.chunk == 0 || self.chunk >= texts.len()
    }
}
