//! The backward pass.

use super::activations::{BackwardScratch, Kept, LayerActivations};
use super::layer::{QKV, Updates};
use super::{Activations, Model};
use crate::architecture::Module;
use crate::batch::Batch;
use crate::layout::{LinearLayout, NormLayout};
use crate::packed::PackedLora;
use espalier_kernels::attention::{AttentionGradients, AttentionInput, attention_backward};
use espalier_kernels::embedding::embed_backward;
use espalier_kernels::gemm::Matrix;
use espalier_kernels::layer_norm::{
    SavedLayerNorm, layer_norm_backward, layer_norm_parameter_gradients,
};
use espalier_kernels::linear::{
    Accumulate, GeluBackward, Store, linear, linear_parameter_gradients,
};
use espalier_kernels::lora::LoraActivations;
use espalier_kernels::{Element, Precision};
use std::ops::Range;

/// Where gradients are accumulated; what is `None` is frozen.
#[derive(Debug, Default)]
pub struct Gradients<'g> {
    /// Of the encoder's weights, laid out as they are.
    pub weights: Option<&'g mut [f32]>,
    /// Whether `weights` includes the embeddings (word, position, type, their LayerNorm).
    pub embeddings: bool,
    /// Of the adapter, laid out as its values.
    pub adapter: Option<&'g mut [f32]>,
}

impl Gradients<'_> {
    /// The same places, for a while.
    pub fn reborrow(&mut self) -> Gradients<'_> {
        Gradients {
            weights: self.weights.as_deref_mut(),
            embeddings: self.embeddings,
            adapter: self.adapter.as_deref_mut(),
        }
    }

    fn linear<E: Element>(&mut self, at: &LinearLayout, x: &[E], dy: &[E]) {
        if let Some(gradients) = self.weights.as_deref_mut() {
            let (d_weight, d_bias) = at.view_mut(gradients);
            linear_parameter_gradients(x, dy, d_weight, d_bias);
        }
    }

    fn norm(&mut self, at: &NormLayout, saved: SavedLayerNorm, dy: &[f32]) {
        if let Some(gradients) = self.weights.as_deref_mut() {
            let (d_weight, d_bias) = at.view_mut(gradients);
            layer_norm_parameter_gradients(saved, dy, d_weight, d_bias);
        }
    }
}

/// A walk down through layers, and how it ends.
struct Walk {
    layers: Range<usize>,
    end: End,
}

/// What the walk down ends with.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The lowest layer's own gradients: nothing needs the one at its input.
    Layer,
    /// The gradient at the lowest layer's input.
    Input,
    /// The gradients of the embeddings.
    Embeddings,
}

impl Model<'_> {
    /// Adds the gradients of everything trained among `layers`, which the last forward pass ran,
    /// from the gradient `d` [T, H] at its result. `d` is used up as scratch.
    ///
    /// The walk down stops at the lowest layer that has anything to train.
    ///
    /// # Panics
    /// As [`Model::forward`].
    pub fn backward(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        let embeddings = layers.start == 0 && gradients.weights.is_some() && gradients.embeddings;
        let lowest = match (&gradients.weights, &gradients.adapter) {
            (Some(_), _) => layers.start,
            (None, Some(_)) => self.adapter.map_or(layers.end, |adapter| adapter.trunk_layers()),
            (None, None) => layers.end,
        };
        let layers = lowest.max(layers.start)..layers.end;
        let end = if embeddings { End::Embeddings } else { End::Layer };
        self.walk(Walk { layers, end }, batch, activations, d, gradients);
    }

    /// As [`Model::backward`], but through all of `layers`, whatever is trained, and leaves the
    /// gradient at their input in `d` [T, H] for whatever that came from. The embeddings are left
    /// out.
    ///
    /// # Panics
    /// As [`Model::forward`].
    pub fn backward_to_input(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        self.walk(Walk { layers, end: End::Input }, batch, activations, d, gradients);
    }

    fn walk(
        &self,
        walk: Walk,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        let adapter = activations.adapter.as_ref();
        match self.packed.precision() {
            Precision::Bf16 => {
                self.walk_down(walk, batch, &mut activations.bf16, adapter, d, gradients)
            }
            _ => self.walk_down(walk, batch, &mut activations.f32, adapter, d, gradients),
        }
    }

    fn walk_down<E: Element>(
        &self,
        Walk { layers, end }: Walk,
        batch: &Batch,
        kept: &mut Kept<E>,
        adapter: Option<&PackedLora>,
        d: &mut [f32],
        mut gradients: Gradients,
    ) {
        if batch.tokens() == 0 {
            return;
        }
        let config = &self.encoder.config;
        let mut scratch = std::mem::take(&mut kept.scratch);
        scratch.resize(batch.tokens(), config.hidden_size, config.intermediate_size);
        for layer in layers.clone().rev() {
            let (x, kept) = (kept.layer_input(layer), &kept.layers[layer]);
            let passes_on = layer > layers.start || end != End::Layer;
            let mut step = LayerBackward {
                model: self,
                layer,
                adapter,
                batch,
                kept,
                gradients: &mut gradients,
            };
            step.feed_forward(d, &mut scratch);
            step.attention(x, d, &mut scratch, passes_on);
        }
        if end == End::Embeddings {
            self.embeddings_backward(batch, kept, d, &mut scratch.d_rows, gradients);
        }
        kept.scratch = scratch;
    }

    fn embeddings_backward<E: Element>(
        &self,
        batch: &Batch,
        kept: &Kept<E>,
        d: &mut [f32],
        d_rows: &mut [E],
        mut gradients: Gradients,
    ) {
        let at = &self.encoder.layout.embeddings;
        let saved = SavedLayerNorm { input: &kept.embedding_sum, stats: &kept.embedding_stats };
        gradients.norm(&at.norm, saved, d);
        layer_norm_backward(saved, at.norm.view(self.weights, 0.0).weight, d, d_rows);
        if let Some(weights) = gradients.weights {
            embed_backward(&batch.ids, &batch.positions, d, at.view_mut(weights));
        }
    }
}

/// The way back through one layer.
struct LayerBackward<'a, 'g, E> {
    model: &'a Model<'a>,
    layer: usize,
    adapter: Option<&'a PackedLora>,
    batch: &'a Batch,
    kept: &'a LayerActivations<E>,
    gradients: &'a mut Gradients<'g>,
}

impl<'a, E: Element> LayerBackward<'a, '_, E> {
    /// `d` [T, H]: the gradient at the layer's output on entry, at its feed-forward block's input
    /// on return.
    fn feed_forward(&mut self, d: &mut [f32], scratch: &mut BackwardScratch<E>) {
        let (model, kept) = (self.model, self.kept);
        let (at, packed) =
            (&model.encoder.layout.layers[self.layer], model.packed.layer(self.layer));
        let weights = model.weights;
        let BackwardScratch { d_rows, d_inner, d_down, .. } = scratch;

        let saved = SavedLayerNorm { input: &kept.output_sum, stats: &kept.output_stats };
        self.gradients.norm(&at.output_norm, saved, d);
        layer_norm_backward(saved, at.output_norm.view(weights, 0.0).weight, d, d_rows);

        self.gradients.linear(&at.output, &kept.activated, d_rows);
        let updates = self.adapted(&[Module::Output], &kept.activated, d_rows, d_down);
        let output = GeluBackward { x: &kept.intermediate, out: &mut *d_inner }; // [T, F]
        linear(d_rows, packed.output.backward(&at.output, weights), None, &updates, output);
        drop(updates);

        self.gradients.linear(&at.intermediate, &kept.attended, d_inner);
        let updates = self.adapted(&[Module::Intermediate], &kept.attended, d_inner, d_down);
        // The residual's gradient and the block's, [T, H].
        linear(
            d_inner,
            packed.intermediate.backward(&at.intermediate, weights),
            None,
            &updates,
            Accumulate(d),
        );
    }

    /// `d` [T, H]: the gradient at the attention block's output on entry; at its input x [T, H] on
    /// return, if it `passes_on`.
    fn attention(
        &mut self,
        x: &[E],
        d: &mut [f32],
        scratch: &mut BackwardScratch<E>,
        passes_on: bool,
    ) {
        let (model, kept) = (self.model, self.kept);
        let (at, packed) =
            (&model.encoder.layout.layers[self.layer], model.packed.layer(self.layer));
        let (weights, config) = (model.weights, &model.encoder.config);
        let BackwardScratch { d_rows, d_qkv, d_context, d_down, .. } = scratch;

        let saved = SavedLayerNorm { input: &kept.attention_sum, stats: &kept.attention_stats };
        self.gradients.norm(&at.attention_norm, saved, d);
        layer_norm_backward(saved, at.attention_norm.view(weights, 0.0).weight, d, d_rows);

        self.gradients.linear(&at.attention_output, &kept.context, d_rows);
        let updates = self.adapted(&[Module::AttentionOutput], &kept.context, d_rows, d_down);
        let backward = packed.attention_output.backward(&at.attention_output, weights);
        linear(d_rows, backward, None, &updates, Store(&mut *d_context)); // [T, H]
        drop(updates);

        let bias_at = &model.encoder.layout.relative_bias;
        let input = AttentionInput {
            qkv: &kept.qkv,
            offsets: &self.batch.offsets,
            heads: config.num_attention_heads,
            width: config.hidden_size,
            relative_bias: &weights[bias_at.clone()],
        };
        let d_bias = self
            .gradients
            .weights
            .as_deref_mut()
            .map_or(&mut [][..], |all| &mut all[bias_at.clone()]);
        let gradients = AttentionGradients { qkv: &mut *d_qkv, relative_bias: d_bias }; // [T, 3H]
        attention_backward(input, &kept.log_sum, d_context, gradients);

        self.gradients.linear(&at.qkv, x, d_qkv);
        let updates = self.adapted(&QKV, x, d_qkv, d_down);
        if passes_on {
            // The residual's gradient and the block's, [T, H].
            linear(d_qkv, packed.qkv.backward(&at.qkv, weights), None, &updates, Accumulate(d));
        }
    }

    /// Adds the gradients of modules that share the input x [T, in] and whose outputs, with
    /// gradient `dy`, lie side by side; returns the updates of the gradient at x.
    fn adapted<'d>(
        &mut self,
        modules: &[Module],
        x: &[E],
        dy: &[E],
        d_down: &'d mut [Vec<f32>; 3],
    ) -> Updates<'d>
    where
        'a: 'd,
    {
        let (Some(packed), Some(lora)) = (self.adapter, self.model.adapter) else {
            return Updates::new();
        };
        let tokens = self.batch.tokens();
        let (stride, width) = (dy.len() / tokens, dy.len() / tokens / modules.len());
        let mut updates = Updates::new();
        for (part, (&module, d_down)) in modules.iter().zip(d_down).enumerate() {
            let pair = lora.pair(self.layer, module).zip(packed.pair(self.layer, module));
            let Some((pair, packed)) = pair else { continue };
            let dy = Matrix::strided(&dy[part * width..], tokens, width, stride);
            d_down.resize(tokens * pair.rank, 0.0);
            packed.down_gradient(pair, dy, d_down);
            let gradient = self.gradients.adapter.as_deref_mut();
            if let Some(gradient) = gradient.and_then(|all| lora.pair_mut(self.layer, module, all))
            {
                let down = &self.kept.down[module as usize];
                gradient.accumulate(pair.scale, LoraActivations { x, dy, down, d_down });
            }
            updates.push(packed.update_back(pair, d_down));
        }
        updates
    }
}
