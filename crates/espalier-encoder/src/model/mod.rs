//! The model: forward and backward through embeddings and transformer layers.
//!
//! It is that of BERT (arXiv 1810.04805), post-norm, and of its relatives (see
//! [`crate::Architecture`]). With x [T, H] the input of a layer:
//!
//! ```text
//! q, k, v  = x Wq^T + bq, x Wk^T + bk, x Wv^T + bv
//! attended = LayerNorm(x + attention(q, k, v) Wo^T + bo)
//! output   = LayerNorm(attended + GELU(attended Wi^T + bi) Wp^T + bp)
//! ```
//!
//! Attention is softmax(q k^T / sqrt(d)) v in each head. MPNet adds a bias by relative position
//! before the softmax, the same in every layer. Each W may have a LoRA.
//!
//! Matrix products are computed in f32, bf16 or int8 (inference only), and what they multiply is
//! stored in that precision. Sums before a LayerNorm, statistics, losses and the gradients of the
//! residual stream are f32.
//!
//! A forward pass for training saves what its backward pass needs in [`Activations`], whose buffers
//! are reused from step to step:
//!
//! ```
//! use espalier_encoder::{Activations, Backbone, Batch, Gradients};
//!
//! # fn main() -> Result<(), espalier_encoder::EncoderError> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//! let backbone = Backbone::open(path.as_ref())?;
//! let text = backbone.tokenizer.encode("a cheap hotel in london");
//! let (model, batch) = (backbone.trainable_model(None)?, Batch::from_texts([&text]));
//! let (mut activations, mut d_weights) = (Activations::default(), vec![0.0; model.weights.len()]);
//!
//! model.forward(&batch, &mut activations);
//! // The gradient of half the squared norm of the hidden states is the hidden states themselves.
//! let mut d_hidden = activations.output().to_vec(); // [T, H]
//! let gradients =
//!     Gradients { weights: Some(&mut d_weights), embeddings: true, ..Gradients::default() };
//! model.backward(&batch, &mut activations, &mut d_hidden, gradients);
//! assert!(d_weights.iter().any(|&gradient| gradient != 0.0));
//! # Ok(())
//! # }
//! ```

mod activations;
mod backward;
mod encode;
mod forward;
mod layer;
mod trainable;

pub use activations::Activations;
pub use backward::Gradients;
pub use encode::{Adapters, LayerInput};
pub use trainable::TrainableModel;

use crate::encoder::Encoder;
use crate::lora::Lora;
use crate::packed::PackedWeights;

/// An encoder with weights, and perhaps an adapter, to run batches through.
///
/// ```
/// use espalier_encoder::{Backbone, Batch};
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let texts = ["a cheap hotel", "london"].map(|text| backbone.tokenizer.encode(text));
/// let batch = Batch::from_texts(&texts);
/// let hidden = backbone.model(None).encode(&batch); // [T, H]
/// assert_eq!(hidden.len(), batch.tokens() * backbone.encoder.width());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// The architecture.
    pub encoder: &'a Encoder,
    /// All weights, laid out as [`Encoder::layout`] says.
    pub weights: &'a [f32],
    /// The linear layers' weights, packed for matrix products. Their precision is that of the
    /// model. They also hold the word embeddings if `weights` does not.
    pub packed: &'a PackedWeights,
    /// The adapter, if one is active.
    pub adapter: Option<&'a Lora>,
}
