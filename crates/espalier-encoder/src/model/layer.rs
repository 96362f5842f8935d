//! One transformer layer forward, for training and for inference.

use super::Model;
use super::activations::LayerActivations;
use crate::architecture::Module;
use crate::batch::Batch;
use crate::packed::PackedLora;
use espalier_kernels::Element;
use espalier_kernels::attention::{AttentionInput, attention};
use espalier_kernels::layer_norm::layer_norm;
use espalier_kernels::linear::{AddResidual, Gelu, LowRank, Store, linear};
use smallvec::SmallVec;
use std::ops::Range;

/// Rows of a batch and the adapter that is on for them.
pub(super) type Branch<'a> = (Range<usize>, &'a PackedLora);

/// The updates of a product; one adapter's need no memory of their own.
pub(super) type Updates<'a> = SmallVec<[LowRank<'a>; 3]>;

/// The three modules that share the layer's input, in the order of their columns.
pub(super) const QKV: [Module; 3] = [Module::Query, Module::Key, Module::Value];

impl Model<'_> {
    /// Everything of a layer on x [T, H] but the LayerNorm at its end, which is left to
    /// [`Model::finish_layer`]. `keep` asks for what only a backward pass needs.
    pub(super) fn layer<E: Element>(
        &self,
        layer: usize,
        x: &[E],
        batch: &Batch,
        branches: &[Branch],
        kept: &mut LayerActivations<E>,
        keep: bool,
    ) {
        let config = &self.encoder.config;
        let (at, packed) = (&self.encoder.layout.layers[layer], self.packed.layer(layer));
        let (weights, eps) = (self.weights, config.layer_norm_eps);
        let (tokens, width, inner) = (batch.tokens(), config.hidden_size, config.intermediate_size);
        kept.resize(tokens, width, inner, config.num_attention_heads);
        let adapted = Adapted { layer, branches };

        let updates = adapted.updates(&QKV, x, width, &mut kept.down);
        linear(
            x,
            packed.qkv.forward(),
            Some(at.qkv.view(weights).bias),
            &updates,
            Store(&mut kept.qkv),
        ); // [T, 3H]
        drop(updates);
        let input = AttentionInput {
            qkv: &kept.qkv,
            offsets: &batch.offsets,
            heads: config.num_attention_heads,
            width,
            relative_bias: &weights[self.encoder.layout.relative_bias.clone()],
        };
        attention(input, &mut kept.context, &mut kept.log_sum); // [T, H]

        let updates =
            adapted.updates(&[Module::AttentionOutput], &kept.context, width, &mut kept.down);
        let output = AddResidual { residual: x, out: &mut kept.attention_sum }; // [T, H]
        let bias = Some(at.attention_output.view(weights).bias);
        linear(&kept.context, packed.attention_output.forward(), bias, &updates, output);
        drop(updates);
        let norm = at.attention_norm.view(weights, eps);
        layer_norm(&kept.attention_sum, norm, &mut kept.attended, &mut kept.attention_stats);

        let updates =
            adapted.updates(&[Module::Intermediate], &kept.attended, inner, &mut kept.down);
        let before = keep.then(|| {
            kept.intermediate.resize(tokens * inner, E::default());
            kept.intermediate.as_mut_slice()
        });
        let output = Gelu { y: before, out: &mut kept.activated }; // [T, F]
        let bias = Some(at.intermediate.view(weights).bias);
        linear(&kept.attended, packed.intermediate.forward(), bias, &updates, output);
        drop(updates);

        let updates = adapted.updates(&[Module::Output], &kept.activated, width, &mut kept.down);
        let output = AddResidual { residual: &kept.attended, out: &mut kept.output_sum }; // [T, H]
        linear(
            &kept.activated,
            packed.output.forward(),
            Some(at.output.view(weights).bias),
            &updates,
            output,
        );
    }

    /// The LayerNorm at the end of a layer, [T, H].
    pub(super) fn finish_layer<E: Element, O: Element>(
        &self,
        layer: usize,
        kept: &mut LayerActivations<E>,
        out: &mut Vec<O>,
    ) {
        let norm = self.encoder.layout.layers[layer]
            .output_norm
            .view(self.weights, self.encoder.config.layer_norm_eps);
        out.resize(kept.output_sum.len(), O::default());
        layer_norm(&kept.output_sum, norm, out, &mut kept.output_stats);
    }
}

/// The adapters that are on in a layer.
struct Adapted<'a> {
    layer: usize,
    branches: &'a [Branch<'a>],
}

impl Adapted<'_> {
    /// The low-rank updates of modules that share the input x [T, in] and whose outputs are `width`
    /// columns each, side by side.
    fn updates<'d, E: Element>(
        &'d self,
        modules: &[Module],
        x: &[E],
        width: usize,
        down: &'d mut [Vec<f32>; 6],
    ) -> Updates<'d> {
        if self.branches.is_empty() {
            return Updates::new();
        }
        let pairs = || {
            self.branches.iter().flat_map(|(rows, adapter)| {
                let pair = |(part, &module): (usize, &Module)| {
                    Some((part, module, adapter.pair(self.layer, module)?))
                };
                modules
                    .iter()
                    .enumerate()
                    .filter_map(pair)
                    .map(|(part, module, pair)| (rows.clone(), part, module, pair))
            })
        };
        // First all products x A^T, one branch after the other in the module's buffer.
        modules.iter().for_each(|&module| down[module as usize].clear());
        for (rows, _, module, pair) in pairs() {
            let inputs = pair.inputs();
            let down = &mut down[module as usize];
            let start = down.len();
            down.resize(start + rows.len() * pair.rank(), 0.0);
            pair.down(&x[rows.start * inputs..rows.end * inputs], &mut down[start..]);
        }
        // Then the updates that read them.
        let mut starts = [0; 6];
        let down = &*down;
        let updates = pairs().map(|(rows, part, module, pair)| {
            let start = &mut starts[module as usize];
            let values = &down[module as usize][*start..][..rows.len() * pair.rank()];
            *start += values.len();
            pair.update(rows, part * width..(part + 1) * width, values)
        });
        updates.collect()
    }
}
