//! Cross-stitch networks (Misra et al., arXiv 1604.03539): two encoders, one for each family, that
//! exchange hidden states after every layer. They need two backbones instead of one, and serve only
//! as a reference.
//!
//! Let x_ner and x_tc [T, H] be the outputs of layer l of the two encoders. The next layers (after
//! the last layer, the objectives) read
//!
//! ```text
//! [ x_ner' ]         [ x_ner ]
//! [        ]  =  S_l [       ]     S_l [2, 2]
//! [ x_tc'  ]         [ x_tc  ]
//! ```
//!
//! There is no stitch between the embeddings and the first layer, because both encoders start from
//! the same embeddings.

use super::stitches::{add_gradient, mix, mix_backward};
use super::{NetworkGradients, Stitches};
use espalier_encoder::{Activations, Batch, Family, Model, TrainableModel};
use std::ops::Range;

/// Two cross-stitched encoders, ordered for one family: first its own encoder, which gives the
/// output, then the other.
///
/// The trunk's output is the hidden states of both encoders, concatenated: [T, 2H].
pub(crate) struct CrossStitched<'a, M> {
    pub(crate) encoders: [M; 2],
    pub(crate) stitches: &'a Stitches,
    pub(crate) family: Family,
}

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct CrossStitchedActivations {
    /// For each layer, the activations in both encoders. Outputs are those before the stitch.
    layers: Vec<[Activations; 2]>,
    /// The output of the family's own encoder, [T, H].
    output: Vec<f32>,
}

impl CrossStitchedActivations {
    pub(crate) fn output(&self) -> &[f32] {
        &self.output
    }
}

impl<'a, M: AsRef<Model<'a>>> CrossStitched<'a, M> {
    /// Runs some layers of both encoders without keeping activations: 2 x [T, H].
    pub(crate) fn encode(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> [Vec<f32>; 2] {
        let embed = || {
            self.encoders.each_ref().map(|model| model.as_ref().encode_layers(0..0, None, batch))
        };
        let mut x = input.map_or_else(embed, |input| self.split(input));
        for layer in layers {
            for (model, x) in self.encoders.iter().zip(&mut x) {
                *x = model.as_ref().encode_layers(layer..layer + 1, Some(x), batch);
            }
            x = mix(self.stitches.matrix(layer, self.family), x.each_ref().map(Vec::as_slice));
        }
        x
    }

    /// Splits `x` [T, 2H] into the hidden states of the two encoders, 2 x [T, H].
    fn split(&self, x: &[f32]) -> [Vec<f32>; 2] {
        let width = self.encoders[0].as_ref().encoder.width();
        let rows = x.chunks_exact(2 * width);
        [0, 1].map(|e| rows.clone().flat_map(|row| &row[e * width..][..width]).copied().collect())
    }

    /// The inverse of [`CrossStitched::split`]: [T, 2H].
    pub(crate) fn concatenate(&self, [own, other]: [Vec<f32>; 2]) -> Vec<f32> {
        let width = self.encoders[0].as_ref().encoder.width();
        let rows = own.chunks_exact(width).zip(other.chunks_exact(width));
        rows.flat_map(|(own, other)| [own, other].concat()).collect()
    }
}

impl<'a> CrossStitched<'a, TrainableModel<'a>> {
    /// Runs some layers on `input` [T, 2H] or, if that is `None`, on the embeddings of the batch.
    /// Keeps the activations for [`CrossStitched::backward`]. The result is
    /// [`CrossStitchedActivations::output`].
    pub(crate) fn forward(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        activations: &mut CrossStitchedActivations,
    ) {
        let CrossStitchedActivations { layers: saved, output } = activations;
        saved.resize_with(self.encoders[0].encoder.layers(), Default::default);
        let mut x = input.map(|input| self.split(input)); // 2 x [T, H]
        for layer in layers {
            for (encoder, model) in self.encoders.iter().enumerate() {
                let x = x.as_ref().map(|x| x[encoder].as_slice());
                model.forward_layers(layer..layer + 1, x, batch, &mut saved[layer][encoder]);
            }
            let outputs = saved[layer].each_ref().map(Activations::output);
            x = Some(mix(self.stitches.matrix(layer, self.family), outputs));
        }
        *output = x.map_or_else(Vec::new, |[own, _]| own);
    }

    /// Adds the gradients of the parameters of `layers`, the same as in the last forward pass.
    /// `d_hidden` [T, H] is the gradient with respect to its result.
    pub(crate) fn backward(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut CrossStitchedActivations,
        d_hidden: &[f32],
        gradients: NetworkGradients,
    ) {
        let NetworkGradients { own, other, mut stitches } = gradients;
        let mut gradients = [own, other];
        // 2 x [T, H]: the loss depends only on the output of the family's own encoder.
        let mut d = [d_hidden.to_vec(), vec![0.0; d_hidden.len()]];
        for layer in layers.clone().rev() {
            let saved = &mut activations.layers[layer];
            let d_mixed = d.each_ref().map(Vec::as_slice);
            if let Some(stitches) = stitches.as_deref_mut() {
                let outputs = saved.each_ref().map(Activations::output);
                add_gradient(stitches, layer, self.family, d_mixed, outputs);
            }
            d = mix_backward(self.stitches.matrix(layer, self.family), d_mixed);
            for (encoder, model) in self.encoders.iter().enumerate() {
                let (saved, d) = (&mut saved[encoder], d[encoder].as_mut_slice());
                let gradients = gradients[encoder].reborrow();
                match layer > layers.start {
                    true => model.backward_to_input(batch, saved, d, gradients),
                    false => model.backward(batch, saved, d, gradients),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
