use super::activations::BackwardScratch;
use super::{Activations, LayerActivations, Model};
use crate::batch::Batch;
use crate::layout::{LinearAt, NormAt};
use crate::lora::Module;
use espalier_kernels::attention::{AttentionForward, AttentionShape, attention_backward};
use espalier_kernels::embedding::embed_backward;
use espalier_kernels::gelu::gelu_backward;
use espalier_kernels::gemm::{Matrix, Start};
use espalier_kernels::layer_norm::{RowStats, layer_norm_backward, layer_norm_parameter_gradients};
use espalier_kernels::linear::linear_parameter_gradients;
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
    fn linear(&mut self, at: &LinearAt, x: &[f32], dy: &[f32]) {
        if let Some(gradients) = self.weights.as_deref_mut() {
            let (d_weight, d_bias) = at.of_mut(gradients);
            linear_parameter_gradients(x, dy, d_weight, d_bias);
        }
    }

    fn norm(&mut self, at: &NormAt, sum: &[f32], stats: &[RowStats], dy: &[f32]) {
        if let Some(gradients) = self.weights.as_deref_mut() {
            let (d_weight, d_bias) = at.of_mut(gradients);
            layer_norm_parameter_gradients(sum, stats, dy, d_weight, d_bias);
        }
    }
}

impl Model<'_> {
    /// Adds the gradients of everything trained among `layers`, which the last forward pass ran, from the gradient `d`
    /// [T, H] at its result. `d` is used up as scratch.
    ///
    /// The walk down stops at the lowest layer that has anything to train.
    pub fn backward(
        &self,
        layers: Range<usize>,
        batch: &Batch,
        activations: &mut Activations,
        d: &mut [f32],
        mut gradients: Gradients,
    ) {
        if batch.tokens() == 0 {
            return;
        }
        let train_embeddings = layers.start == 0 && gradients.weights.is_some() && gradients.embeddings;
        let lowest = match (&gradients.weights, &gradients.adapter) {
            (Some(_), _) => layers.start,
            (None, Some(_)) => self.adapter.map_or(layers.end, |adapter| adapter.trunk_layers()),
            (None, None) => layers.end,
        };
        let Activations { layers: kept, input, scratch, .. } = activations;
        for layer in (lowest.max(layers.start)..layers.end).rev() {
            let x = if layer == layers.start { input.as_slice() } else { &kept[layer - 1].output };
            let passes_on = layer > lowest || train_embeddings;
            self.layer_backward(layer, x, batch, &kept[layer], d, scratch, &mut gradients, passes_on);
        }
        if train_embeddings {
            self.embeddings_backward(batch, activations, d, gradients);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one layer's inputs, outputs and scratch, each used once")]
    fn layer_backward(
        &self,
        layer: usize,
        x: &[f32],
        batch: &Batch,
        kept: &LayerActivations,
        d: &mut [f32], // at the layer's output on entry, at its input on return, [T, H]
        scratch: &mut BackwardScratch,
        gradients: &mut Gradients,
        passes_on: bool,
    ) {
        let config = &self.encoder.config;
        let (at, weights) = (&self.encoder.layout.layers[layer], self.weights);
        let (tokens, width, inner) = (batch.tokens(), config.hidden_size, config.intermediate_size);
        let BackwardScratch { d_inner, d_qkv, d_context, d_down } = scratch;
        d_inner.resize(tokens * inner, 0.0);
        d_qkv.resize(tokens * 3 * width, 0.0);
        d_context.resize(tokens * width, 0.0);

        // Feed-forward block.
        gradients.norm(&at.output_norm, &kept.output_sum, &kept.output_stats, d);
        layer_norm_backward(&kept.output_sum, &kept.output_stats, at.output_norm.of(weights, 0.0).weight, d);
        gradients.linear(&at.output, &kept.activated, d);
        at.output.of(weights).input_gradient(d, Start::Zero, d_inner); // [T, F]
        let dy = Matrix::new(d, tokens, width);
        self.adapt_backward(layer, Module::Output, &kept.activated, dy, kept, d_down, gradients, Some(&mut *d_inner));
        gelu_backward(&kept.intermediate, d_inner);
        gradients.linear(&at.intermediate, &kept.attended, d_inner);
        at.intermediate.of(weights).input_gradient(d_inner, Start::Accumulate, d); // residual + block, [T, H]
        let dy = Matrix::new(d_inner, tokens, inner);
        self.adapt_backward(layer, Module::Intermediate, &kept.attended, dy, kept, d_down, gradients, Some(&mut *d));

        // Attention block.
        gradients.norm(&at.attention_norm, &kept.attention_sum, &kept.attention_stats, d);
        layer_norm_backward(&kept.attention_sum, &kept.attention_stats, at.attention_norm.of(weights, 0.0).weight, d);
        gradients.linear(&at.attention_output, &kept.context, d);
        at.attention_output.of(weights).input_gradient(d, Start::Zero, d_context); // [T, H]
        let (dy, dx) = (Matrix::new(d, tokens, width), Some(d_context.as_mut_slice()));
        self.adapt_backward(layer, Module::AttentionOutput, &kept.context, dy, kept, d_down, gradients, dx);
        let shape = AttentionShape { offsets: &batch.offsets, heads: config.num_attention_heads, width };
        let saved = AttentionForward { qkv: &kept.qkv, log_sum: &kept.log_sum };
        attention_backward(saved, shape, d_context, d_qkv); // [T, 3H]
        gradients.linear(&at.qkv, x, d_qkv);
        if passes_on {
            at.qkv.of(weights).input_gradient(d_qkv, Start::Accumulate, d); // residual + block, [T, H]
        }
        for (part, module) in [Module::Query, Module::Key, Module::Value].into_iter().enumerate() {
            let dy = Matrix::strided(&d_qkv[part * width..], tokens, width, 3 * width);
            let dx = if passes_on { Some(&mut *d) } else { None };
            self.adapt_backward(layer, module, x, dy, kept, d_down, gradients, dx);
        }
    }

    /// Gradients of one module's pair, and through it at the module's input.
    #[expect(clippy::too_many_arguments, reason = "a module, its input, its output's gradient and where results go")]
    fn adapt_backward(
        &self,
        layer: usize,
        module: Module,
        x: &[f32],
        dy: Matrix,
        kept: &LayerActivations,
        d_down: &mut Vec<f32>,
        gradients: &mut Gradients,
        dx: Option<&mut [f32]>,
    ) {
        let Some((adapter, pair)) = self.adapter.and_then(|lora| Some((lora, lora.pair(layer, module)?))) else {
            return;
        };
        d_down.resize(dy.rows() * pair.rank, 0.0);
        let down = &kept.down[module as usize];
        let gradient = gradients.adapter.as_deref_mut().and_then(|all| adapter.pair_mut(layer, module, all));
        pair.backward(x, dy, down, d_down, gradient, dx);
    }

    fn embeddings_backward(&self, batch: &Batch, activations: &Activations, d: &mut [f32], mut gradients: Gradients) {
        let at = &self.encoder.layout.embeddings;
        let (sum, stats) = (&activations.embedding_sum, &activations.embedding_stats);
        gradients.norm(&at.norm, sum, stats, d);
        layer_norm_backward(sum, stats, at.norm.of(self.weights, 0.0).weight, d);
        if let Some(weights) = gradients.weights {
            embed_backward(&batch.ids, &batch.positions, d, at.of_mut(weights));
        }
    }
}
