//! The backward pass.

use super::activations::{ActivationGradients, LayerActivations, SavedTensors};
use super::layer::{QKV, Updates};
use super::{Activations, TrainableModel};
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

/// Where gradients are accumulated. What is `None` is frozen.
#[derive(Debug, Default)]
pub struct Gradients<'g> {
    /// Gradients of the encoder's weights, in the same layout.
    pub weights: Option<&'g mut [f32]>,
    /// Whether those of the embeddings (word, position, token type, their LayerNorm) are computed.
    pub embeddings: bool,
    /// Gradients of the adapter, in the layout of its values.
    pub adapter: Option<&'g mut [f32]>,
}

impl Gradients<'_> {
    /// Reborrows the buffers, as `&mut *` does.
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

/// Where a backward pass stops, below its lowest layer.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    /// At the parameters of the lowest layer: the gradient at its input is not needed.
    Parameters,
    /// At the input of the lowest layer.
    Input,
    /// At the embeddings.
    Embeddings,
}

impl TrainableModel<'_> {
    /// Adds the gradients of all parameters that are trained, through the layers that the last
    /// forward pass of `activations` ran, from the gradient `d` [T, H] at its output. Overwrites
    /// `d`.
    ///
    /// It goes down only to the lowest layer that has anything to train.
    ///
    /// # Panics
    /// If `batch` or the model is not that of the forward pass.
    pub fn backward(
        &self,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        let layers = activations.layers.clone();
        let embeddings = layers.start == 0 && gradients.weights.is_some() && gradients.embeddings;
        let lowest = match (&gradients.weights, &gradients.adapter) {
            (Some(_), _) => layers.start,
            (None, Some(_)) => self.adapter.map_or(layers.end, |adapter| adapter.trunk_layers()),
            (None, None) => layers.end,
        };
        let layers = lowest.max(layers.start)..layers.end;
        let stop = if embeddings { Stop::Embeddings } else { Stop::Parameters };
        self.backward_until(layers, stop, batch, activations, d, gradients);
    }

    /// As [`TrainableModel::backward`], but always goes through all layers of the forward pass, and
    /// leaves the gradient at their input in `d` [T, H]. The embeddings get no gradients.
    ///
    /// # Panics
    /// As [`TrainableModel::backward`].
    pub fn backward_to_input(
        &self,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        let layers = activations.layers.clone();
        self.backward_until(layers, Stop::Input, batch, activations, d, gradients);
    }

    fn backward_until(
        &self,
        layers: Range<usize>,
        stop: Stop,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        gradients: Gradients,
    ) {
        let pass = BackwardPass {
            model: self,
            batch,
            adapter: activations.adapter.as_ref(),
            parameters: gradients,
        };
        match self.packed.precision() {
            Precision::Bf16 => pass.run(layers, stop, &mut activations.bf16, d),
            _ => pass.run(layers, stop, &mut activations.f32, d),
        }
    }
}

/// What a backward pass needs in every layer.
struct BackwardPass<'a, 'g> {
    model: &'a TrainableModel<'a>,
    batch: &'a Batch,
    adapter: Option<&'a PackedLora>,
    /// The gradients of the parameters.
    parameters: Gradients<'g>,
}

impl<'a> BackwardPass<'a, '_> {
    fn run<E: Element>(
        mut self,
        layers: Range<usize>,
        stop: Stop,
        saved: &mut SavedTensors<E>,
        d: &mut [f32],
    ) {
        if self.batch.tokens() == 0 {
            return;
        }
        let config = &self.model.encoder.config;
        let mut scratch = std::mem::take(&mut saved.gradients);
        scratch.resize(self.batch.tokens(), config.hidden_size, config.intermediate_size);
        for layer in layers.clone().rev() {
            let (x, saved) = (saved.layer_input(layer), &saved.layers[layer]);
            let to_input = layer > layers.start || stop != Stop::Parameters;
            let mut step = LayerBackward { pass: &mut self, layer, saved };
            step.feed_forward(d, &mut scratch);
            step.attention(x, d, &mut scratch, to_input);
        }
        if stop == Stop::Embeddings {
            self.embeddings(saved, d, &mut scratch.d_rows);
        }
        saved.gradients = scratch;
    }

    /// `d` [T, H]: the gradient at the embeddings after LayerNorm on entry, before it on return.
    fn embeddings<E: Element>(mut self, saved: &SavedTensors<E>, d: &mut [f32], d_rows: &mut [E]) {
        let at = &self.model.encoder.layout.embeddings;
        let norm = SavedLayerNorm { input: &saved.embedding_sum, stats: &saved.embedding_stats };
        self.parameters.norm(&at.norm, norm, d);
        layer_norm_backward(norm, at.norm.view(self.model.weights, 0.0).weight, d, d_rows);
        if let Some(weights) = self.parameters.weights {
            embed_backward(&self.batch.ids, &self.batch.positions, d, at.view_mut(weights));
        }
    }
}

/// The backward pass of one layer.
struct LayerBackward<'p, 'a, 'g, E> {
    pass: &'p mut BackwardPass<'a, 'g>,
    layer: usize,
    saved: &'p LayerActivations<E>,
}

impl<'a, E: Element> LayerBackward<'_, 'a, '_, E> {
    /// `d` [T, H]: the gradient at the layer's output on entry, at the input of its feed-forward
    /// block on return.
    fn feed_forward(&mut self, d: &mut [f32], scratch: &mut ActivationGradients<E>) {
        let (model, saved) = (self.pass.model, self.saved);
        let (at, packed) =
            (&model.encoder.layout.layers[self.layer], model.packed.layer(self.layer));
        let weights = model.weights;
        let ActivationGradients { d_rows, d_inner, d_down, .. } = scratch;

        let norm = SavedLayerNorm { input: &saved.output_sum, stats: &saved.output_stats };
        self.pass.parameters.norm(&at.output_norm, norm, d);
        layer_norm_backward(norm, at.output_norm.view(weights, 0.0).weight, d, d_rows);

        self.pass.parameters.linear(&at.output, &saved.activated, d_rows);
        let updates = self.adapted(&[Module::Output], &saved.activated, d_rows, d_down);
        let output = GeluBackward { x: &saved.intermediate, out: &mut *d_inner }; // [T, F]
        linear(d_rows, packed.output.backward(&at.output, weights), None, &updates, output);
        drop(updates);

        self.pass.parameters.linear(&at.intermediate, &saved.attended, d_inner);
        let updates = self.adapted(&[Module::Intermediate], &saved.attended, d_inner, d_down);
        let backward = packed.intermediate.backward(&at.intermediate, weights);
        // To the residual's gradient that of the block is added, [T, H].
        linear(d_inner, backward, None, &updates, Accumulate(d));
    }

    /// `d` [T, H]: the gradient at the output of the attention block on entry; at its input x [T,
    /// H] on return, if `to_input`.
    fn attention(
        &mut self,
        x: &[E],
        d: &mut [f32],
        scratch: &mut ActivationGradients<E>,
        to_input: bool,
    ) {
        let (model, saved) = (self.pass.model, self.saved);
        let (at, packed) =
            (&model.encoder.layout.layers[self.layer], model.packed.layer(self.layer));
        let (weights, config) = (model.weights, &model.encoder.config);
        let ActivationGradients { d_rows, d_qkv, d_context, d_down, .. } = scratch;

        let norm = SavedLayerNorm { input: &saved.attention_sum, stats: &saved.attention_stats };
        self.pass.parameters.norm(&at.attention_norm, norm, d);
        layer_norm_backward(norm, at.attention_norm.view(weights, 0.0).weight, d, d_rows);

        self.pass.parameters.linear(&at.attention_output, &saved.context, d_rows);
        let updates = self.adapted(&[Module::AttentionOutput], &saved.context, d_rows, d_down);
        let backward = packed.attention_output.backward(&at.attention_output, weights);
        linear(d_rows, backward, None, &updates, Store(&mut *d_context)); // [T, H]
        drop(updates);

        let bias_at = &model.encoder.layout.relative_bias;
        let input = AttentionInput {
            qkv: &saved.qkv,
            offsets: &self.pass.batch.offsets,
            heads: config.num_attention_heads,
            width: config.hidden_size,
            relative_bias: &weights[bias_at.clone()],
        };
        let d_weights = self.pass.parameters.weights.as_deref_mut();
        let d_bias = d_weights.map_or(&mut [][..], |all| &mut all[bias_at.clone()]);
        let gradients = AttentionGradients { qkv: &mut *d_qkv, relative_bias: d_bias }; // [T, 3H]
        attention_backward(input, &saved.log_sum, d_context, gradients);

        self.pass.parameters.linear(&at.qkv, x, d_qkv);
        let updates = self.adapted(&QKV, x, d_qkv, d_down);
        if to_input {
            // To the residual's gradient that of the block is added, [T, H].
            linear(d_qkv, packed.qkv.backward(&at.qkv, weights), None, &updates, Accumulate(d));
        }
    }

    /// Adds the LoRA gradients of modules that have the input x [T, in] in common and whose
    /// outputs, with gradient `dy`, are adjacent blocks of columns. Returns the updates of the
    /// gradient at x.
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
        let (Some(packed), Some(lora)) = (self.pass.adapter, self.pass.model.adapter) else {
            return Updates::new();
        };
        let tokens = self.pass.batch.tokens();
        let (stride, width) = (dy.len() / tokens, dy.len() / tokens / modules.len());
        let mut updates = Updates::new();
        for (part, (&module, d_down)) in modules.iter().zip(d_down).enumerate() {
            let pair = lora.pair(self.layer, module).zip(packed.pair(self.layer, module));
            let Some((pair, packed)) = pair else { continue };
            let dy = Matrix::strided(&dy[part * width..], tokens, width, stride);
            d_down.resize(tokens * pair.rank, 0.0);
            packed.down_gradient(pair, dy, d_down);
            let gradient = self.pass.parameters.adapter.as_deref_mut();
            if let Some(gradient) = gradient.and_then(|all| lora.pair_mut(self.layer, module, all))
            {
                let down = &self.saved.down[module as usize];
                gradient.accumulate(pair.scale, LoraActivations { x, dy, down, d_down });
            }
            updates.push(packed.update_back(pair, d_down));
        }
        updates
    }
}
