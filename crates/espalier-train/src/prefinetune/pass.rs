//! What the batches of a side run through: the shared weights with the family's adapter, and where the gradients go.

use espalier_encoder::{Activations, Batch, Gradients, Model};

/// A model, the memory that it works in, and the gradients of what is trained.
pub(super) struct Pass<'a> {
    pub(super) model: Model<'a>,
    pub(super) activations: &'a mut Activations,
    pub(super) gradients: Gradients<'a>,
}

impl Pass<'_> {
    /// H.
    pub(super) fn width(&self) -> usize {
        self.model.encoder.width()
    }

    /// Token vectors [T, H]. What [`Pass::backward`] needs is kept.
    pub(super) fn forward(&mut self, batch: &Batch) -> &[f32] {
        self.model.forward(batch, self.activations);
        self.activations.output()
    }

    /// Token vectors [T, H] alone.
    pub(super) fn encode(&self, batch: &Batch) -> Vec<f32> {
        self.model.encode(batch)
    }

    /// Adds the gradients by those at the token vectors of the last [`Pass::forward`], `d_hidden` [T, H], which are used up.
    pub(super) fn backward(&mut self, batch: &Batch, d_hidden: &mut [f32]) {
        let gradients = Gradients {
            weights: self.gradients.weights.as_deref_mut(),
            embeddings: self.gradients.embeddings,
            adapter: self.gradients.adapter.as_deref_mut(),
        };
        let layers = 0..self.model.encoder.layers();
        self.model.backward(layers, batch, self.activations, d_hidden, gradients);
    }
}
