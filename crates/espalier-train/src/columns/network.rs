//! Forward and backward through two columns, layer by layer, with a stitch above each.

use super::Stitches;
use super::stitches::{accumulate, mix, unmix};
use espalier_encoder::{Activations, Batch, Family, Gradients, Model};
use std::ops::Range;

/// Two columns as one family sees them: its own, whose vectors it reads, comes first.
///
/// Token vectors below the last layer are those of both columns side by side, [T, 2H].
pub(crate) struct Stitched<'a> {
    pub(crate) columns: [Model<'a>; 2],
    pub(crate) stitches: &'a Stitches,
    pub(crate) family: Family,
}

/// What the forward pass leaves for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct StitchedActivations {
    /// Of each layer, in both columns. What a layer gave before the stitch is its output.
    layers: Vec<[Activations; 2]>,
    /// What the family reads, [T, H].
    output: Vec<f32>,
}

impl StitchedActivations {
    pub(crate) fn output(&self) -> &[f32] {
        &self.output
    }
}

/// Where gradients are accumulated; what is `None` is frozen.
#[derive(Default)]
pub(crate) struct StitchedGradients<'g> {
    pub(crate) columns: [Gradients<'g>; 2],
    /// Laid out as [`Stitches::values`].
    pub(crate) stitches: Option<&'g mut [f32]>,
}

impl Stitched<'_> {
    /// Runs some layers on `input` [T, 2H] or, without, on the embeddings of the batch, and keeps
    /// everything for [`Stitched::backward`]. The result is [`StitchedActivations::output`].
    pub(crate) fn forward(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        activations: &mut StitchedActivations,
    ) {
        let StitchedActivations { layers: kept, output } = activations;
        kept.resize_with(self.columns[0].encoder.layers(), Default::default);
        let mut x = input.map(|input| self.apart(input)); // 2 x [T, H]
        for layer in layers {
            for (column, model) in self.columns.iter().enumerate() {
                let x = x.as_ref().map(|x| x[column].as_slice());
                model.forward_layers(layer..layer + 1, x, batch, &mut kept[layer][column]);
            }
            x = Some(mix(
                self.stitches.unit(layer, self.family),
                kept[layer].each_ref().map(Activations::output),
            ));
        }
        *output = x.map_or_else(Vec::new, |[own, _]| own);
    }

    /// Runs some layers for their result alone, in both columns: 2 x [T, H].
    pub(crate) fn encode(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> [Vec<f32>; 2] {
        let embeddings =
            || self.columns.each_ref().map(|model| model.encode_layers(0..0, None, batch));
        let mut x = input.map_or_else(embeddings, |input| self.apart(input));
        for layer in layers {
            for (model, x) in self.columns.iter().zip(&mut x) {
                *x = model.encode_layers(layer..layer + 1, Some(x), batch);
            }
            x = mix(self.stitches.unit(layer, self.family), x.each_ref().map(Vec::as_slice));
        }
        x
    }

    /// Adds the gradients of everything trained among `layers`, which the last forward pass ran,
    /// from the gradient at its result, `d` [T, H].
    pub(crate) fn backward(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut StitchedActivations,
        d: &[f32],
        mut gradients: StitchedGradients,
    ) {
        let mut d = [d.to_vec(), vec![0.0; d.len()]]; // 2 x [T, H]: the family reads its own column alone
        for layer in layers.clone().rev() {
            let kept = &mut activations.layers[layer];
            let at_mixtures = d.each_ref().map(Vec::as_slice);
            if let Some(stitches) = gradients.stitches.as_deref_mut() {
                accumulate(
                    stitches,
                    layer,
                    self.family,
                    at_mixtures,
                    kept.each_ref().map(Activations::output),
                );
            }
            d = unmix(self.stitches.unit(layer, self.family), at_mixtures);
            for (column, model) in self.columns.iter().enumerate() {
                let (kept, d) = (&mut kept[column], d[column].as_mut_slice());
                let gradients = gradients.columns[column].reborrow();
                match layer > layers.start {
                    true => model.backward_to_input(layer..layer + 1, batch, kept, d, gradients),
                    false => model.backward(layer..layer + 1, batch, kept, d, gradients),
                }
            }
        }
    }

    /// The two columns' vectors [T, H] of `x` [T, 2H].
    fn apart(&self, x: &[f32]) -> [Vec<f32>; 2] {
        let width = self.columns[0].encoder.width();
        [0, 1].map(|column| {
            x.chunks_exact(2 * width)
                .flat_map(|row| &row[column * width..][..width])
                .copied()
                .collect()
        })
    }

    /// Two columns' vectors [T, H] side by side, [T, 2H].
    pub(crate) fn side_by_side(&self, [own, other]: [Vec<f32>; 2]) -> Vec<f32> {
        let width = self.columns[0].encoder.width();
        own.chunks_exact(width)
            .zip(other.chunks_exact(width))
            .flat_map(|(own, other)| [own, other].concat())
            .collect()
    }
}

#[cfg(test)]
mod tests;
