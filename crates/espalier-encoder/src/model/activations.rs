//! The buffers of a training step.

use crate::packed::PackedLora;
use espalier_kernels::layer_norm::RowStats;
use espalier_kernels::{Bf16, Element, Precision};
use std::ops::Range;

/// What a forward pass saves for its backward pass, and the buffers that both work in.
///
/// Buffers grow to the largest batch and are reused: once it has seen that batch, a training loop
/// allocates nothing.
#[derive(Debug, Default)]
pub struct Activations {
    pub(super) f32: SavedTensors<f32>,
    pub(super) bf16: SavedTensors<Bf16>,
    /// The precision of the last forward pass, if there was any.
    pub(super) precision: Option<Precision>,
    /// The layers that the last forward pass ran.
    pub(super) layers: Range<usize>,
    /// Output of the last of these layers, [T, H].
    pub(super) output: Vec<f32>,
    /// The adapter as it was packed for the forward pass.
    pub(super) adapter: Option<PackedLora>,
}

impl Activations {
    /// Hidden states [T, H]: the output of the last layer that the last forward pass ran.
    pub fn output(&self) -> &[f32] {
        &self.output
    }

    /// The input of layer `layer` in the last forward pass, [T, H]: for the first layer that ran,
    /// the input of the pass or the embeddings after LayerNorm; for the others, the output of the
    /// layer below.
    pub fn layer_input(&self, layer: usize) -> Vec<f32> {
        match self.precision {
            Some(Precision::Bf16) => {
                self.bf16.layer_input(layer).iter().map(|x| x.to_f32()).collect()
            }
            _ => self.f32.layer_input(layer).to_vec(),
        }
    }
}

/// The saved activations of one element type.
#[derive(Debug, Default)]
pub(super) struct SavedTensors<E> {
    /// Sum of the embeddings before LayerNorm, [T, H].
    pub(super) embedding_sum: Vec<f32>,
    pub(super) embedding_stats: Vec<RowStats>,
    /// The first layer that ran.
    pub(super) first: usize,
    /// Its input, [T, H].
    pub(super) input: Vec<E>,
    /// One per layer of the encoder.
    pub(super) layers: Vec<LayerActivations<E>>,
    pub(super) gradients: ActivationGradients<E>,
}

impl<E> SavedTensors<E> {
    pub(super) fn layer_input(&self, layer: usize) -> &[E] {
        if layer == self.first { &self.input } else { &self.layers[layer - 1].output }
    }
}

/// The intermediate results of one layer.
#[derive(Debug, Default)]
pub(super) struct LayerActivations<E> {
    /// Queries, keys and values, [T, 3H].
    pub(super) qkv: Vec<E>,
    /// Log-sum-exp of the attention scores, [T, heads].
    pub(super) log_sum: Vec<f32>,
    /// Result of attention, [T, H].
    pub(super) context: Vec<E>,
    /// x + attention, before LayerNorm, [T, H].
    pub(super) attention_sum: Vec<f32>,
    pub(super) attention_stats: Vec<RowStats>,
    /// After the first LayerNorm, [T, H].
    pub(super) attended: Vec<E>,
    /// Before GELU, [T, F]; only saved for a backward pass.
    pub(super) intermediate: Vec<E>,
    /// After GELU, [T, F].
    pub(super) activated: Vec<E>,
    /// attended + feed-forward, before LayerNorm, [T, H].
    pub(super) output_sum: Vec<f32>,
    pub(super) output_stats: Vec<RowStats>,
    /// After the second LayerNorm, [T, H]. For the last layer that ran it is in
    /// [`Activations::output`] instead.
    pub(super) output: Vec<E>,
    /// x A^T of each adapted module, [T, r].
    pub(super) down: [Vec<f32>; 6],
}

impl<E: Element> LayerActivations<E> {
    /// Resizes the buffers to `tokens` rows. The forward pass overwrites their contents.
    pub(super) fn resize(&mut self, tokens: usize, width: usize, inner: usize, heads: usize) {
        for buffer in [&mut self.attention_sum, &mut self.output_sum] {
            buffer.resize(tokens * width, 0.0);
        }
        for buffer in [&mut self.context, &mut self.attended] {
            buffer.resize(tokens * width, E::default());
        }
        self.qkv.resize(tokens * 3 * width, E::default());
        self.log_sum.resize(tokens * heads, 0.0);
        self.activated.resize(tokens * inner, E::default());
        self.attention_stats.resize(tokens, RowStats::default());
        self.output_stats.resize(tokens, RowStats::default());
    }
}

/// Buffers for the gradients at a layer's activations, shared by all layers.
#[derive(Debug, Default)]
pub(super) struct ActivationGradients<E> {
    /// At the input of a LayerNorm, in the element type, [T, H].
    pub(super) d_rows: Vec<E>,
    /// At the inner activations of the feed-forward block, [T, F].
    pub(super) d_inner: Vec<E>,
    /// At queries, keys and values, [T, 3H].
    pub(super) d_qkv: Vec<E>,
    /// At the result of attention, [T, H].
    pub(super) d_context: Vec<E>,
    /// At x A^T, [T, r], of up to three modules that have the same input.
    pub(super) d_down: [Vec<f32>; 3],
}

impl<E: Element> ActivationGradients<E> {
    pub(super) fn resize(&mut self, tokens: usize, width: usize, inner: usize) {
        self.d_rows.resize(tokens * width, E::default());
        self.d_inner.resize(tokens * inner, E::default());
        self.d_qkv.resize(tokens * 3 * width, E::default());
        self.d_context.resize(tokens * width, E::default());
    }
}
