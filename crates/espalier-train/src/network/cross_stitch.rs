//! Cross-stitch networks (Misra et al., arXiv 1604.03539): two encoders, one for each family, that
//! exchange hidden states after every layer. They break the rule of one backbone, and are there to
//! be compared with.
//!
//! With x_ner and x_tc [T, H] the outputs of layer l in the two encoders, the layers above it (or,
//! at the end, the objectives) read
//!
//! ```text
//! [ x_ner' ]         [ x_ner ]
//! [        ]  =  S_l [       ]     S_l [2, 2]
//! [ x_tc'  ]         [ x_tc  ]
//! ```
//!
//! There is no such unit between the embeddings and the first layer: both encoders start from the
//! same table, and a unit stands where the weights of the encoders have made something of their
//! own, as in the paper.

use super::stitches::{accumulate, mix, unmix};
use super::{NetworkGradients, Stitches};
use espalier_encoder::{Activations, Batch, Family, Model};
use std::ops::Range;

/// Two encoders as one family sees them: its own, whose hidden states it reads, comes first.
///
/// Between layers the hidden states are those of both, concatenated: [T, 2H].
pub(crate) struct CrossStitched<'a> {
    pub(crate) encoders: [Model<'a>; 2],
    pub(crate) stitches: &'a Stitches,
    pub(crate) family: Family,
}

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct CrossStitchedActivations {
    /// Of each layer, in both encoders. The output of a layer is that before the stitch.
    layers: Vec<[Activations; 2]>,
    /// What the family reads, [T, H].
    output: Vec<f32>,
}

impl CrossStitchedActivations {
    pub(crate) fn output(&self) -> &[f32] {
        &self.output
    }
}

impl CrossStitched<'_> {
    /// Runs some layers on `input` [T, 2H] or, without, on the embeddings of the batch, and keeps
    /// everything for [`CrossStitched::backward`]. The result is
    /// [`CrossStitchedActivations::output`].
    pub(crate) fn forward(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        activations: &mut CrossStitchedActivations,
    ) {
        let CrossStitchedActivations { layers: kept, output } = activations;
        kept.resize_with(self.encoders[0].encoder.layers(), Default::default);
        let mut x = input.map(|input| self.split(input)); // 2 x [T, H]
        for layer in layers {
            for (encoder, model) in self.encoders.iter().enumerate() {
                let x = x.as_ref().map(|x| x[encoder].as_slice());
                model.forward_layers(layer..layer + 1, x, batch, &mut kept[layer][encoder]);
            }
            let outputs = kept[layer].each_ref().map(Activations::output);
            x = Some(mix(self.stitches.unit(layer, self.family), outputs));
        }
        *output = x.map_or_else(Vec::new, |[own, _]| own);
    }

    /// Runs some layers for their result alone, in both encoders: 2 x [T, H].
    pub(crate) fn encode(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> [Vec<f32>; 2] {
        let embed = || self.encoders.each_ref().map(|model| model.encode_layers(0..0, None, batch));
        let mut x = input.map_or_else(embed, |input| self.split(input));
        for layer in layers {
            for (model, x) in self.encoders.iter().zip(&mut x) {
                *x = model.encode_layers(layer..layer + 1, Some(x), batch);
            }
            x = mix(self.stitches.unit(layer, self.family), x.each_ref().map(Vec::as_slice));
        }
        x
    }

    /// Adds the gradients of everything trained among `layers`, which the last forward pass ran,
    /// from the gradient at its result, `d_hidden` [T, H].
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
        // 2 x [T, H]: the family reads its own encoder alone.
        let mut d = [d_hidden.to_vec(), vec![0.0; d_hidden.len()]];
        for layer in layers.clone().rev() {
            let kept = &mut activations.layers[layer];
            let d_mixed = d.each_ref().map(Vec::as_slice);
            if let Some(stitches) = stitches.as_deref_mut() {
                let outputs = kept.each_ref().map(Activations::output);
                accumulate(stitches, layer, self.family, d_mixed, outputs);
            }
            d = unmix(self.stitches.unit(layer, self.family), d_mixed);
            for (encoder, model) in self.encoders.iter().enumerate() {
                let (kept, d) = (&mut kept[encoder], d[encoder].as_mut_slice());
                let gradients = gradients[encoder].reborrow();
                match layer > layers.start {
                    true => model.backward_to_input(batch, kept, d, gradients),
                    false => model.backward(batch, kept, d, gradients),
                }
            }
        }
    }

    /// The two encoders' hidden states [T, H] of `x` [T, 2H].
    fn split(&self, x: &[f32]) -> [Vec<f32>; 2] {
        let width = self.encoders[0].encoder.width();
        let rows = x.chunks_exact(2 * width);
        [0, 1].map(|e| rows.clone().flat_map(|row| &row[e * width..][..width]).copied().collect())
    }

    /// Two encoders' hidden states [T, H] as one matrix, [T, 2H].
    pub(crate) fn concatenated(&self, [own, other]: [Vec<f32>; 2]) -> Vec<f32> {
        let width = self.encoders[0].encoder.width();
        let rows = own.chunks_exact(width).zip(other.chunks_exact(width));
        rows.flat_map(|(own, other)| [own, other].concat()).collect()
    }
}

#[cfg(test)]
mod tests;
