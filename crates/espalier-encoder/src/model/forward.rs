use super::{Activations, LayerActivations, Model};
use crate::batch::Batch;
use crate::lora::Module;
use espalier_kernels::attention::{AttentionShape, attention};
use espalier_kernels::embedding::embed;
use espalier_kernels::gelu::gelu;
use espalier_kernels::gemm::MatrixMut;
use espalier_kernels::layer_norm::{RowStats, add_layer_norm, layer_norm};
use std::ops::Range;

impl Model<'_> {
    /// Runs the whole encoder and keeps everything for [`Model::backward`]. The result is the output of the last layer.
    pub fn forward(&self, batch: &Batch, activations: &mut Activations) {
        self.embed(batch, activations);
        self.keep_layers(0..self.encoder.layers(), batch, activations);
    }

    /// Runs some layers on token vectors `input` [T, H] (the output of the layer below) and keeps everything for
    /// [`Model::backward`].
    pub fn forward_layers(&self, layers: Range<usize>, input: &[f32], batch: &Batch, activations: &mut Activations) {
        activations.input.clear();
        activations.input.extend_from_slice(input);
        self.keep_layers(layers, batch, activations);
    }

    /// Runs the whole encoder for its result alone: token vectors [T, H].
    pub fn encode(&self, batch: &Batch) -> Vec<f32> {
        self.encode_layers(0..self.encoder.layers(), self.embeddings(batch), batch)
    }

    /// Token vectors before the first layer, [T, H].
    pub fn embeddings(&self, batch: &Batch) -> Vec<f32> {
        let mut activations = Activations::default();
        self.embed(batch, &mut activations);
        activations.input
    }

    /// Runs some layers on token vectors `hidden` [T, H] for their result alone.
    pub fn encode_layers(&self, layers: Range<usize>, mut hidden: Vec<f32>, batch: &Batch) -> Vec<f32> {
        let mut layer_activations = LayerActivations::default();
        for layer in layers {
            self.layer(layer, &hidden, batch, &mut layer_activations);
            std::mem::swap(&mut hidden, &mut layer_activations.output);
        }
        hidden
    }

    fn embed(&self, batch: &Batch, activations: &mut Activations) {
        let (tokens, width) = (batch.tokens(), self.encoder.width());
        let at = &self.encoder.layout.embeddings;
        activations.embedding_sum.resize(tokens * width, 0.0);
        activations.embedding_stats.resize(tokens, RowStats::default());
        activations.input.resize(tokens * width, 0.0);
        embed(at.of(self.weights), &batch.ids, &batch.positions, &mut activations.embedding_sum);
        let norm = at.norm.of(self.weights, self.encoder.config.layer_norm_eps);
        layer_norm(&activations.embedding_sum, norm, &mut activations.input, &mut activations.embedding_stats);
    }

    fn keep_layers(&self, layers: Range<usize>, batch: &Batch, activations: &mut Activations) {
        activations.layers.resize_with(self.encoder.layers(), LayerActivations::default);
        let first = layers.start;
        for layer in layers {
            let (below, rest) = activations.layers.split_at_mut(layer);
            let input = if layer == first { &activations.input } else { &below[layer - 1].output };
            self.layer(layer, input, batch, &mut rest[0]);
        }
    }

    /// One transformer layer on x [T, H].
    fn layer(&self, layer: usize, x: &[f32], batch: &Batch, kept: &mut LayerActivations) {
        let config = &self.encoder.config;
        let (at, weights, eps) = (&self.encoder.layout.layers[layer], self.weights, config.layer_norm_eps);
        let (tokens, width, inner) = (batch.tokens(), config.hidden_size, config.intermediate_size);
        kept.resize(tokens, width, inner, config.num_attention_heads);
        if tokens == 0 {
            return; // there are no columns of an empty matrix to take
        }
        let shape = AttentionShape { offsets: &batch.offsets, heads: config.num_attention_heads, width };

        at.qkv.of(weights).forward(x, &mut kept.qkv); // [T, 3H]
        for (part, module) in [Module::Query, Module::Key, Module::Value].into_iter().enumerate() {
            let y = MatrixMut::strided(&mut kept.qkv[part * width..], tokens, width, 3 * width);
            self.adapt(layer, module, x, y, &mut kept.down);
        }
        attention(&kept.qkv, shape, &mut kept.context, &mut kept.log_sum); // [T, H]

        at.attention_output.of(weights).forward(&kept.context, &mut kept.attention_sum); // [T, H]
        let y = MatrixMut::new(&mut kept.attention_sum, tokens, width);
        self.adapt(layer, Module::AttentionOutput, &kept.context, y, &mut kept.down);
        let norm = at.attention_norm.of(weights, eps);
        add_layer_norm(x, &mut kept.attention_sum, norm, &mut kept.attended, &mut kept.attention_stats);

        at.intermediate.of(weights).forward(&kept.attended, &mut kept.intermediate); // [T, F]
        let y = MatrixMut::new(&mut kept.intermediate, tokens, inner);
        self.adapt(layer, Module::Intermediate, &kept.attended, y, &mut kept.down);
        gelu(&kept.intermediate, &mut kept.activated);

        at.output.of(weights).forward(&kept.activated, &mut kept.output_sum); // [T, H]
        let y = MatrixMut::new(&mut kept.output_sum, tokens, width);
        self.adapt(layer, Module::Output, &kept.activated, y, &mut kept.down);
        let norm = at.output_norm.of(weights, eps);
        add_layer_norm(&kept.attended, &mut kept.output_sum, norm, &mut kept.output, &mut kept.output_stats);
    }

    /// Adds a module's low-rank update to `y`, if the module is adapted.
    fn adapt(&self, layer: usize, module: Module, x: &[f32], y: MatrixMut, down: &mut [Vec<f32>; 6]) {
        if let Some(pair) = self.adapter.and_then(|adapter| adapter.pair(layer, module)) {
            let down = &mut down[module as usize];
            down.resize(y.rows() * pair.rank, 0.0);
            pair.forward(x, y, down);
        }
    }
}
