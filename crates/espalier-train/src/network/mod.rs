//! The network that texts run through: one encoder with an adapter or, for cross-stitch, two
//! encoders that exchange hidden states. Code outside this module does not need to know which.

mod cross_stitch;
mod second;
mod shared;
mod stitches;

pub use second::SecondEncoder;
pub(crate) use shared::{GradientTarget, SharedEncoder};
pub use stitches::Stitches;

use cross_stitch::{CrossStitched, CrossStitchedActivations};
use espalier_encoder::{Activations, Batch, Family, Gradients, Model, TrainableModel};
use std::ops::Range;

/// One encoder, or two cross-stitched encoders. `M` is [`Model`] for inference and
/// [`TrainableModel`] for training.
pub(crate) enum Network<'a, M> {
    Single(M),
    CrossStitched(CrossStitched<'a, M>),
}

/// The activations of a forward pass, for either kind of network.
#[derive(Debug, Default)]
pub(crate) struct NetworkActivations {
    single: Activations,
    cross_stitched: CrossStitchedActivations,
}

/// Where a backward pass adds gradients; `None` for frozen parameters.
#[derive(Debug, Default)]
pub(crate) struct NetworkGradients<'g> {
    /// Of the family's own encoder, which gives the network's output.
    pub(crate) own: Gradients<'g>,
    /// Of the other encoder, if there is one.
    pub(crate) other: Gradients<'g>,
    /// Of the stitches, laid out as [`Stitches::values`].
    pub(crate) stitches: Option<&'g mut [f32]>,
}

impl<'a, M: AsRef<Model<'a>>> Network<'a, M> {
    /// The network of a family with this encoder or, with cross-stitch, with another one as well.
    pub(crate) fn new(own: M, other: Option<(M, &'a Stitches)>, family: Family) -> Self {
        match other {
            None => Self::Single(own),
            Some((other, stitches)) => {
                Self::CrossStitched(CrossStitched { encoders: [own, other], stitches, family })
            }
        }
    }

    /// The family's own encoder, which gives the network's output.
    pub(crate) fn own(&self) -> Model<'a> {
        match self {
            Self::Single(model) => *model.as_ref(),
            Self::CrossStitched(both) => *both.encoders[0].as_ref(),
        }
    }

    /// The indices of all layers.
    pub(crate) fn layers(&self) -> Range<usize> {
        0..self.own().encoder.layers()
    }

    /// H, the width of the hidden states.
    pub(crate) fn width(&self) -> usize {
        self.own().encoder.width()
    }

    /// The width of the output of [`Network::trunk`]: H, or 2H with two encoders.
    pub(crate) fn trunk_width(&self) -> usize {
        match self {
            Self::Single(_) => self.width(),
            Self::CrossStitched(_) => 2 * self.width(),
        }
    }

    /// Runs the layers below `first`, without keeping activations: [T, trunk width].
    pub(crate) fn trunk(&self, first: usize, batch: &Batch) -> Vec<f32> {
        match self {
            Self::Single(model) => model.as_ref().encode_layers(0..first, None, batch),
            Self::CrossStitched(both) => both.concatenate(both.encode(0..first, None, batch)),
        }
    }

    /// Runs some layers without keeping activations: hidden states [T, H]. The input is `input`
    /// [T, trunk width] or, if that is `None`, the embeddings of the batch.
    pub(crate) fn encode(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> Vec<f32> {
        match self {
            Self::Single(model) => model.as_ref().encode_layers(layers, input, batch),
            Self::CrossStitched(both) => {
                let [own, _] = both.encode(layers, input, batch);
                own
            }
        }
    }
}

impl<'a> Network<'a, TrainableModel<'a>> {
    /// As [`Network::encode`], but keeps the activations for [`Network::backward`].
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

    /// Adds the gradients of the parameters of `layers`. `d_hidden` [T, H] is the gradient with
    /// respect to the result of the last [`Network::forward`]; it is overwritten.
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

/// Forward and backward passes for one objective: the network of its family, the activations, and
/// where the gradients go.
pub(crate) struct Pass<'a> {
    pub(crate) network: Network<'a, TrainableModel<'a>>,
    pub(crate) activations: &'a mut NetworkActivations,
    pub(crate) gradients: NetworkGradients<'a>,
}

impl Pass<'_> {
    /// H, the width of the hidden states.
    pub(crate) fn width(&self) -> usize {
        self.network.width()
    }

    /// Hidden states [T, H]; keeps the activations for [`Pass::backward`].
    pub(crate) fn forward(&mut self, batch: &Batch) -> &[f32] {
        self.network.forward(self.network.layers(), None, batch, self.activations)
    }

    /// Hidden states [T, H], without keeping activations.
    pub(crate) fn encode(&self, batch: &Batch) -> Vec<f32> {
        self.network.encode(self.network.layers(), None, batch)
    }

    /// Adds the gradients of all trained parameters. `d_hidden` [T, H] is the gradient with respect
    /// to the result of the last [`Pass::forward`]; it is overwritten.
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
