//! Texts through a frozen encoder: up to the first adapted layer, from there on, and back.

use crate::columns::{Stitched, StitchedActivations, StitchedGradients};
use espalier_encoder::{Activations, Batch, Gradients, Model};

/// An encoder, or two that are stitched to each other.
pub(super) enum Network<'a> {
    Single(Model<'a>),
    Stitched(Stitched<'a>),
}

/// The memory that passes of either kind work in.
#[derive(Debug, Default)]
pub(super) struct Memory {
    single: Activations,
    stitched: StitchedActivations,
}

impl Network<'_> {
    /// Width of what comes out of the trunk: H, or 2H where two columns go on from there.
    pub(super) fn trunk_width(&self) -> usize {
        match self {
            Self::Single(model) => model.encoder.width(),
            Self::Stitched(stitched) => 2 * stitched.columns[0].encoder.width(),
        }
    }

    /// Runs the layers below `first`: [T, trunk width].
    pub(super) fn trunk(&self, first: usize, batch: &Batch) -> Vec<f32> {
        match self {
            Self::Single(model) => model.encode_layers(0..first, None, batch),
            Self::Stitched(stitched) => {
                stitched.side_by_side(stitched.encode(0..first, None, batch))
            }
        }
    }

    /// Runs the layers from `first` on, on what came out of the trunk, for their result alone: [T,
    /// H].
    pub(super) fn encode(&self, first: usize, input: &[f32], batch: &Batch) -> Vec<f32> {
        match self {
            Self::Single(model) => {
                model.encode_layers(first..model.encoder.layers(), Some(input), batch)
            }
            Self::Stitched(stitched) => {
                let [own, _] = stitched.encode(
                    first..stitched.columns[0].encoder.layers(),
                    Some(input),
                    batch,
                );
                own
            }
        }
    }

    /// As [`Network::encode`], but keeps what [`Network::backward`] needs.
    pub(super) fn forward<'m>(
        &self,
        first: usize,
        input: &[f32],
        batch: &Batch,
        memory: &'m mut Memory,
    ) -> &'m [f32] {
        match self {
            Self::Single(model) => {
                model.forward_layers(
                    first..model.encoder.layers(),
                    Some(input),
                    batch,
                    &mut memory.single,
                );
                memory.single.output()
            }
            Self::Stitched(stitched) => {
                let layers = first..stitched.columns[0].encoder.layers();
                stitched.forward(layers, Some(input), batch, &mut memory.stitched);
                memory.stitched.output()
            }
        }
    }

    /// Adds the gradient of the adapter to `adapter`, from that at the result of the last
    /// [`Network::forward`], `d` [T, H], which is used up.
    pub(super) fn backward(
        &self,
        first: usize,
        batch: &Batch,
        memory: &mut Memory,
        d: &mut [f32],
        adapter: &mut [f32],
    ) {
        let gradients = Gradients { adapter: Some(adapter), ..Gradients::default() };
        match self {
            Self::Single(model) => {
                model.backward(
                    first..model.encoder.layers(),
                    batch,
                    &mut memory.single,
                    d,
                    gradients,
                );
            }
            Self::Stitched(stitched) => {
                let layers = first..stitched.columns[0].encoder.layers();
                let gradients = StitchedGradients {
                    columns: [gradients, Gradients::default()],
                    stitches: None,
                };
                stitched.backward(layers, batch, &mut memory.stitched, d, gradients);
            }
        }
    }
}
