//! What texts run through: an encoder with an adapter or, for the reference cross-stitch, two
//! encoders that exchange hidden states. Nothing outside of this folder needs to know which.

mod cross_stitch;
mod second;
mod shared;
mod stitches;

pub use second::SecondEncoder;
pub(crate) use shared::{GradientTarget, SharedEncoder};
pub use stitches::Stitches;

use cross_stitch::{CrossStitched, CrossStitchedActivations};
use espalier_encoder::{Activations, Batch, Gradients, Model};
use std::ops::Range;

/// One encoder, or two that are cross-stitched.
pub(crate) enum Network<'a> {
    Single(Model<'a>),
    CrossStitched(CrossStitched<'a>),
}

/// The buffers that passes of either kind work in.
#[derive(Debug, Default)]
pub(crate) struct NetworkActivations {
    single: Activations,
    cross_stitched: CrossStitchedActivations,
}

/// Where gradients are accumulated; what is `None` is frozen.
#[derive(Debug, Default)]
pub(crate) struct NetworkGradients<'g> {
    /// Of the encoder whose hidden states are read.
    pub(crate) own: Gradients<'g>,
    /// Of the other encoder, if there is one.
    pub(crate) other: Gradients<'g>,
    /// Of the stitches between the two, laid out as [`Stitches::values`].
    pub(crate) stitches: Option<&'g mut [f32]>,
}

impl<'a> Network<'a> {
    /// The encoder whose hidden states are read.
    pub(crate) fn own(&self) -> Model<'a> {
        match self {
            Self::Single(model) => *model,
            Self::CrossStitched(both) => both.encoders[0],
        }
    }

    /// All layers.
    pub(crate) fn layers(&self) -> Range<usize> {
        0..self.own().encoder.layers()
    }

    /// H.
    pub(crate) fn width(&self) -> usize {
        self.own().encoder.width()
    }

    /// Width of what [`Network::trunk`] returns: H, or 2H where two encoders go on from there.
    pub(crate) fn trunk_width(&self) -> usize {
        match self {
            Self::Single(_) => self.width(),
            Self::CrossStitched(_) => 2 * self.width(),
        }
    }

    /// Runs the layers below `first` for their result alone: [T, trunk width].
    pub(crate) fn trunk(&self, first: usize, batch: &Batch) -> Vec<f32> {
        match self {
            Self::Single(model) => model.encode_layers(0..first, None, batch),
            Self::CrossStitched(both) => both.concatenated(both.encode(0..first, None, batch)),
        }
    }

    /// Runs some layers for their result alone, on `input` [T, trunk width] or, without, on the
    /// embeddings of the batch: hidden states [T, H].
    pub(crate) fn encode(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> Vec<f32> {
        match self {
            Self::Single(model) => model.encode_layers(layers, input, batch),
            Self::CrossStitched(both) => {
                let [own, _] = both.encode(layers, input, batch);
                own
            }
        }
    }

    /// As [`Network::encode`], but keeps what [`Network::backward`] needs.
    pub(crate) fn forward<'m>(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        activations: &'m mut NetworkActivations,
    ) -> &'m [f32] {
        match self {
            Self::Single(model) => {
                model.forward_layers(layers, input, batch, &mut activations.single);
                activations.single.output()
            }
            Self::CrossStitched(both) => {
                both.forward(layers, input, batch, &mut activations.cross_stitched);
                activations.cross_stitched.output()
            }
        }
    }

    /// Adds the gradients of everything trained among `layers`, from those at the hidden states of
    /// the last [`Network::forward`], `d_hidden` [T, H], which is used up.
    pub(crate) fn backward(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut NetworkActivations,
        d_hidden: &mut [f32],
        gradients: NetworkGradients,
    ) {
        match self {
            Self::Single(model) => {
                let activations = &mut activations.single;
                model.backward(batch, activations, d_hidden, gradients.own);
            }
            Self::CrossStitched(both) => {
                let activations = &mut activations.cross_stitched;
                both.backward(layers, batch, activations, d_hidden, gradients);
            }
        }
    }
}

/// The forward and backward passes of one objective's batches: the network that its family reads,
/// the buffers, and where the gradients go.
pub(crate) struct Pass<'a> {
    pub(crate) network: Network<'a>,
    pub(crate) activations: &'a mut NetworkActivations,
    pub(crate) gradients: NetworkGradients<'a>,
}

impl Pass<'_> {
    /// H.
    pub(crate) fn width(&self) -> usize {
        self.network.width()
    }

    /// Hidden states [T, H]. What [`Pass::backward`] needs is kept.
    pub(crate) fn forward(&mut self, batch: &Batch) -> &[f32] {
        self.network.forward(self.network.layers(), None, batch, self.activations)
    }

    /// Hidden states [T, H] alone.
    pub(crate) fn encode(&self, batch: &Batch) -> Vec<f32> {
        self.network.encode(self.network.layers(), None, batch)
    }

    /// Adds the gradients, from those at the hidden states of the last [`Pass::forward`],
    /// `d_hidden` [T, H], which is used up.
    pub(crate) fn backward(&mut self, batch: &Batch, d_hidden: &mut [f32]) {
        let NetworkGradients { own, other, stitches } = &mut self.gradients;
        let gradients = NetworkGradients {
            own: own.reborrow(),
            other: other.reborrow(),
            stitches: stitches.as_deref_mut(),
        };
        let layers = self.network.layers();
        self.network.backward(layers, batch, self.activations, d_hidden, gradients);
    }
}
