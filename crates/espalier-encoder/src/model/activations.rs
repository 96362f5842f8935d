use espalier_kernels::layer_norm::RowStats;

/// What a forward pass leaves for its backward pass, and the memory that both work in.
///
/// Buffers grow to the largest batch and stay, so that a training loop allocates nothing once it has seen one.
#[derive(Debug, Default)]
pub struct Activations {
    /// Sum of the embeddings before LayerNorm, [T, H].
    pub(super) embedding_sum: Vec<f32>,
    pub(super) embedding_stats: Vec<RowStats>,
    /// Input of the first layer that ran, [T, H].
    pub(super) input: Vec<f32>,
    /// One per layer of the encoder.
    pub(super) layers: Vec<LayerActivations>,
    pub(super) scratch: BackwardScratch,
}

impl Activations {
    /// The output of layer `layer` in the last forward pass, [T, H].
    pub fn output(&self, layer: usize) -> &[f32] {
        &self.layers[layer].output
    }

    /// The input of the first layer that ran, [T, H]: the embeddings after LayerNorm when the whole encoder ran.
    pub fn input(&self) -> &[f32] {
        &self.input
    }
}

/// The intermediate results of one layer.
#[derive(Debug, Default)]
pub struct LayerActivations {
    /// Queries, keys and values, [T, 3H].
    pub(super) qkv: Vec<f32>,
    /// Log-sum-exp of the attention scores, [T, heads].
    pub(super) log_sum: Vec<f32>,
    /// Result of attention, [T, H].
    pub(super) context: Vec<f32>,
    /// x + attention, before LayerNorm, [T, H].
    pub(super) attention_sum: Vec<f32>,
    pub(super) attention_stats: Vec<RowStats>,
    /// After the first LayerNorm, [T, H].
    pub(super) attended: Vec<f32>,
    /// Before GELU, [T, F].
    pub(super) intermediate: Vec<f32>,
    /// After GELU, [T, F].
    pub(super) activated: Vec<f32>,
    /// attended + feed-forward, before LayerNorm, [T, H].
    pub(super) output_sum: Vec<f32>,
    pub(super) output_stats: Vec<RowStats>,
    /// After the second LayerNorm, [T, H].
    pub(super) output: Vec<f32>,
    /// x A^T of each adapted module, [T, r].
    pub(super) down: [Vec<f32>; 6],
}

impl LayerActivations {
    /// Fits the buffers to `tokens` rows. What they hold is overwritten by the forward pass.
    pub(super) fn resize(&mut self, tokens: usize, width: usize, inner: usize, heads: usize) {
        for buffer in
            [&mut self.context, &mut self.attention_sum, &mut self.attended, &mut self.output_sum, &mut self.output]
        {
            buffer.resize(tokens * width, 0.0);
        }
        self.qkv.resize(tokens * 3 * width, 0.0);
        self.log_sum.resize(tokens * heads, 0.0);
        self.intermediate.resize(tokens * inner, 0.0);
        self.activated.resize(tokens * inner, 0.0);
        self.attention_stats.resize(tokens, RowStats::default());
        self.output_stats.resize(tokens, RowStats::default());
    }
}

/// Gradients on their way down.
#[derive(Debug, Default)]
pub(super) struct BackwardScratch {
    /// At the feed-forward block's inner values, [T, F].
    pub(super) d_inner: Vec<f32>,
    /// At queries, keys and values, [T, 3H].
    pub(super) d_qkv: Vec<f32>,
    /// At the result of attention, [T, H].
    pub(super) d_context: Vec<f32>,
    /// At x A^T, [T, r].
    pub(super) d_down: Vec<f32>,
}
