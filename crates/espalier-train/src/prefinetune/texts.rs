//! Texts to vectors and gradients back, in one pass or, for batches beyond memory, chunk by chunk.

use espalier_encoder::{Activations, Batch, Encoded, Gradients, Model, Pooling};

/// How texts go through the model.
///
/// With a chunk size this is GradCache (arXiv 2101.06983): texts are embedded without keeping activations, and once the gradients
/// at their vectors are known each chunk runs once more, forward and back. It costs a second forward pass, and memory for the
/// activations of one chunk instead of all.
pub(super) struct Texts {
    pub(super) pooling: Pooling,
    /// Texts per chunk; 0 for all at once.
    pub(super) chunk: usize,
}

impl Texts {
    /// Vectors [n, H] of the texts.
    pub(super) fn vectors(&self, model: &Model, texts: &[Encoded], activations: &mut Activations) -> Vec<f32> {
        let (width, mut vectors) = (model.encoder.width(), Vec::new());
        if self.at_once(texts) {
            let batch = Batch::of_texts(texts);
            model.forward(&batch, activations);
            self.pooling.forward(activations.output(), &batch, width, &mut vectors);
            return vectors;
        }
        let mut pooled = Vec::new();
        for chunk in texts.chunks(self.chunk) {
            let batch = Batch::of_texts(chunk);
            self.pooling.forward(&model.encode(&batch), &batch, width, &mut pooled);
            vectors.extend_from_slice(&pooled);
        }
        vectors
    }

    /// Adds the gradients of everything trained, from those at the vectors, `d_vectors` [n, H]. `activations` are what
    /// [`Texts::vectors`] left.
    pub(super) fn backward(
        &self,
        model: &Model,
        texts: &[Encoded],
        activations: &mut Activations,
        d_vectors: &[f32],
        mut gradients: Gradients,
    ) {
        let (layers, width) = (model.encoder.layers(), model.encoder.width());
        let (at_once, mut d_hidden) = (self.at_once(texts), Vec::new());
        let chunk = if at_once { texts.len() } else { self.chunk };
        for (texts, d_vectors) in texts.chunks(chunk).zip(d_vectors.chunks(chunk * width)) {
            let batch = Batch::of_texts(texts);
            if !at_once {
                model.forward(&batch, activations);
            }
            self.pooling.backward(d_vectors, &batch, width, &mut d_hidden);
            let gradients = Gradients {
                weights: gradients.weights.as_deref_mut(),
                embeddings: gradients.embeddings,
                adapter: gradients.adapter.as_deref_mut(),
            };
            model.backward(0..layers, &batch, activations, &mut d_hidden, gradients);
        }
    }

    fn at_once(&self, texts: &[Encoded]) -> bool {
        self.chunk == 0 || self.chunk >= texts.len()
    }
}
