//! The encoder's mathematics: forward and backward through embeddings and transformer layers.
//!
//! That of BERT (arXiv 1810.04805), post-norm, and of all its kin (see [`crate::Architecture`]).
//! With x [T, H] the input of a layer:
//!
//! ```text
//! q, k, v  = x Wq^T + bq, x Wk^T + bk, x Wv^T + bv
//! attended = LayerNorm(x + attention(q, k, v) Wo^T + bo)
//! output   = LayerNorm(attended + GELU(attended Wi^T + bi) Wp^T + bp)
//! ```
//!
//! Attention is softmax(q k^T / sqrt(d)) v in every head, in MPNet with a bias by relative position
//! before the softmax, the same in every layer. x and all else that is multiplied by weights is
//! kept in the precision of the products (f32 or bf16); sums before a LayerNorm, statistics, losses
//! and the gradients that travel down the residual stream are f32. Every W may carry a LoRA pair. A
//! forward pass leaves what its backward pass needs in [`Activations`], whose buffers are reused
//! from step to step.

mod activations;
mod backward;
mod encode;
mod forward;
mod layer;

pub use activations::Activations;
pub use backward::Gradients;
pub use encode::Adapters;

use crate::architecture::EncoderConfig;
use crate::layout::Layout;
use crate::lora::Lora;
use crate::packed::PackedWeights;

/// An encoder's architecture, without weights.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Its shape.
    pub config: EncoderConfig,
    /// Where its tensors lie in a flat vector of weights.
    pub layout: Layout,
}

impl Encoder {
    /// The encoder that `config` describes.
    pub fn new(config: EncoderConfig) -> Self {
        let layout = Layout::new(&config);
        Self { config, layout }
    }

    /// The encoder that `config` describes, for weights whose matrices are kept apart from the flat
    /// vector.
    pub fn without_matrices(config: EncoderConfig) -> Self {
        let layout = Layout::without_matrices(&config);
        Self { config, layout }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.config.num_hidden_layers
    }

    /// H.
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }
}

/// Weights, and perhaps an adapter, to run a batch through.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// The architecture.
    pub encoder: &'a Encoder,
    /// All weights, laid out as [`Encoder::layout`] says.
    pub weights: &'a [f32],
    /// Their linear maps, packed: these say in which precision the model computes, and hold the
    /// word embeddings if `weights` does not.
    pub packed: &'a PackedWeights,
    /// The adapter, if one is on.
    pub adapter: Option<&'a Lora>,
}
