//! What the batches of a side run through: the weights that its family reads with the family's
//! adapter, and where the gradients go.

use crate::columns::{Stitched, StitchedActivations, StitchedGradients, Stitches};
use espalier_encoder::{Activations, Batch, Family, Gradients, Model};
use std::ops::Range;

/// A model, the memory that it works in, and the gradients of what is trained.
pub(super) struct Pass<'a> {
    /// What the family reads: the shared weights, or its own column.
    pub(super) model: Model<'a>,
    pub(super) activations: &'a mut Activations,
    pub(super) gradients: Gradients<'a>,
    /// The other family's column, where there is one.
    pub(super) beside: Option<Beside<'a>>,
}

/// A column that the model is stitched to.
pub(super) struct Beside<'a> {
    pub(super) model: Model<'a>,
    pub(super) stitches: &'a Stitches,
    /// Whose column [`Pass::model`] is.
    pub(super) family: Family,
    pub(super) activations: &'a mut StitchedActivations,
    pub(super) gradients: Gradients<'a>,
    pub(super) stitch_gradients: Option<&'a mut [f32]>,
}

impl<'a> Beside<'a> {
    fn stitched(&self, own: Model<'a>) -> Stitched<'a> {
        Stitched { columns: [own, self.model], stitches: self.stitches, family: self.family }
    }
}

impl Pass<'_> {
    /// H.
    pub(super) fn width(&self) -> usize {
        self.model.encoder.width()
    }

    /// Token vectors [T, H]. What [`Pass::backward`] needs is kept.
    pub(super) fn forward(&mut self, batch: &Batch) -> &[f32] {
        let layers = self.layers();
        match &mut self.beside {
            None => {
                self.model.forward(batch, self.activations);
                self.activations.output()
            }
            Some(beside) => {
                beside.stitched(self.model).forward(layers, None, batch, beside.activations);
                beside.activations.output()
            }
        }
    }

    /// Token vectors [T, H] alone.
    pub(super) fn encode(&self, batch: &Batch) -> Vec<f32> {
        match &self.beside {
            None => self.model.encode(batch),
            Some(beside) => {
                let [own, _] = beside.stitched(self.model).encode(self.layers(), None, batch);
                own
            }
        }
    }

    /// Adds the gradients by those at the token vectors of the last [`Pass::forward`], `d_hidden`
    /// [T, H], which are used up.
    pub(super) fn backward(&mut self, batch: &Batch, d_hidden: &mut [f32]) {
        let (layers, gradients) = (self.layers(), self.gradients.reborrow());
        match &mut self.beside {
            None => self.model.backward(layers, batch, self.activations, d_hidden, gradients),
            Some(beside) => {
                let stitched = beside.stitched(self.model);
                let stitches = beside.stitch_gradients.as_deref_mut();
                let gradients = StitchedGradients {
                    columns: [gradients, beside.gradients.reborrow()],
                    stitches,
                };
                stitched.backward(layers, batch, beside.activations, d_hidden, gradients);
            }
        }
    }

    fn layers(&self) -> Range<usize> {
        0..self.model.encoder.layers()
    }
}
