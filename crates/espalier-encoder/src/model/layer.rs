//! The forward pass of one transformer layer, for training and for inference.

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

/// Rows of a batch and the adapter that is active on them.
pub(super) type AdaptedRows<'a> = (Range<usize>, &'a PackedLora);

/// The low-rank updates of a product. Those of one adapter need no allocation.
pub(super) type Updates<'a> = SmallVec<[LowRank<'a>; 3]>;

/// The three modules that have the layer's input in common, in the order of their columns in qkv.
pub(super) const QKV: [Module; 3] = [Module::Query, Module::Key, Module::Value];

impl Model<'_> {
    /// A layer on its input x [T, H], except for the final LayerNorm, which is left to
    /// [`Model::finish_layer`]. `for_backward` also saves what only a backward pass needs.
    pub(super) fn layer<E: Element>(
        &self,
        layer: usize,
        x: &[E],
        batch: &Batch,
        adapted: &[AdaptedRows],
        saved: &mut LayerActivations<E>,
        for_backward: bool,
    ) {
        let config = &self.encoder.config;
        let (at, packed) = (&self.encoder.layout.layers[layer], self.packed.layer(layer));
        let (weights, eps) = (self.weights, config.layer_norm_eps);
        let (tokens, width, inner) = (batch.tokens(), config.hidden_size, config.intermediate_size);
        saved.resize(tokens, width, inner, config.num_attention_heads);
        let adapted = LayerAdapters { layer, adapted };

        let updates = adapted.updates(&QKV, x, width, &mut saved.down);
        linear(
            x,
            packed.qkv.forward(),
            Some(at.qkv.view(weights).bias),
            &updates,
            Store(&mut saved.qkv),
        ); // [T, 3H]
        drop(updates);
        let input = AttentionInput {
            qkv: &saved.qkv,
            offsets: &batch.offsets,
            heads: config.num_attention_heads,
            width,
            relative_bias: &weights[self.encoder.layout.relative_bias.clone()],
        };
        attention(input, &mut saved.context, &mut saved.log_sum); // [T, H]

        let updates =
            adapted.updates(&[Module::AttentionOutput], &saved.context, width, &mut saved.down);
        let output = AddResidual { residual: x, out: &mut saved.attention_sum }; // [T, H]
        let bias = Some(at.attention_output.view(weights).bias);
        linear(&saved.context, packed.attention_output.forward(), bias, &updates, output);
        drop(updates);
        let norm = at.attention_norm.view(weights, eps);
        layer_norm(&saved.attention_sum, norm, &mut saved.attended, &mut saved.attention_stats);

        let updates =
            adapted.updates(&[Module::Intermediate], &saved.attended, inner, &mut saved.down);
        let before_gelu = for_backward.then(|| {
            saved.intermediate.resize(tokens * inner, E::default());
            saved.intermediate.as_mut_slice()
        });
        let output = Gelu { y: before_gelu, out: &mut saved.activated }; // [T, F]
        let bias = Some(at.intermediate.view(weights).bias);
        linear(&saved.attended, packed.intermediate.forward(), bias, &updates, output);
        drop(updates);

        let updates = adapted.updates(&[Module::Output], &saved.activated, width, &mut saved.down);
        // [T, H]
        let output = AddResidual { residual: &saved.attended, out: &mut saved.output_sum };
        linear(
            &saved.activated,
            packed.output.forward(),
            Some(at.output.view(weights).bias),
            &updates,
            output,
        );
    }

    /// The final LayerNorm of a layer, into `out` [T, H].
    pub(super) fn finish_layer<E: Element, O: Element>(
        &self,
        layer: usize,
        saved: &mut LayerActivations<E>,
        out: &mut Vec<O>,
    ) {
        let norm = self.encoder.layout.layers[layer]
            .output_norm
            .view(self.weights, self.encoder.config.layer_norm_eps);
        out.resize(saved.output_sum.len(), O::default());
        layer_norm(&saved.output_sum, norm, out, &mut saved.output_stats);
    }
}

/// The adapters that are active in a layer.
struct LayerAdapters<'a> {
    layer: usize,
    adapted: &'a [AdaptedRows<'a>],
}

impl LayerAdapters<'_> {
    /// The low-rank updates of modules that have the input x [T, in] in common and whose outputs
    /// are adjacent blocks of `width` columns. Writes x A^T to `down`.
    fn updates<'d, E: Element>(
        &'d self,
        modules: &[Module],
        x: &[E],
        width: usize,
        down: &'d mut [Vec<f32>; 6],
    ) -> Updates<'d> {
        if self.adapted.is_empty() {
            return Updates::new();
        }
        let pairs = || {
            self.adapted.iter().flat_map(|(rows, adapter)| {
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
        // First all products x A^T, one adapter after the other in the module's buffer.
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
