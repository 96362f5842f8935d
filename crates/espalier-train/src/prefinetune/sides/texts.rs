//! Texts to vectors and gradients back, in one pass or, for batches beyond memory, chunk by chunk.

use super::Pass;
use espalier_encoder::{Batch, Encoded, Pooling};

/// How texts go through the model.
///
/// With a chunk size this is GradCache (arXiv 2101.06983): texts are embedded without keeping
/// activations, and once the gradients at their vectors are known each chunk runs once more,
/// forward and back. It costs a second forward pass, and memory for the activations of one chunk
/// instead of all.
pub(super) struct Texts {
    pub(super) pooling: Pooling,
    /// Texts per chunk; 0 for all at once.
    pub(super) chunk: usize,
}

impl Texts {
    /// Vectors [n, H] of the texts.
    pub(super) fn vectors(&self, pass: &mut Pass, texts: &[Encoded]) -> Vec<f32> {
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

    /// Adds the gradients of everything trained, from those at the vectors that [`Texts::vectors`]
    /// gave last, `d_vectors` [n, H].
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
