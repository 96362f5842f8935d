//! Encoders that have not learnt anything yet.

use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::initialization::normal;
use crate::memory;
use espalier_data::sampling::generator;
use espalier_encoder::{Architecture, Backbone, EncoderConfig};

/// The BERT that `config.scratch` describes. The same seed and tokenizer give the same weights to
/// the bit.
///
/// # Errors
/// [`TrainError::Encoder`](crate::TrainError::Encoder) when there is no tokenizer that can be used,
/// or no such encoder, or no memory for it.
pub fn fresh_backbone(config: &PrefinetuneConfig) -> Result<Backbone> {
    let shape = &config.scratch;
    let encoder = EncoderConfig {
        architecture: Architecture::Bert,
        hidden_size: shape.width,
        num_hidden_layers: shape.layers,
        num_attention_heads: shape.heads,
        intermediate_size: shape.inner,
        vocab_size: 1, // the tokenizer decides
        max_position_embeddings: shape.positions,
        first_position: 0,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
    };
    // Before the weights are drawn, which takes long for an encoder that cannot be trained anyway.
    if encoder.validate().is_ok() {
        memory::check_encoder(&encoder, config)?;
    }
    Ok(Backbone::random_init(
        encoder,
        &shape.tokenizer,
        normal(&mut generator(config.seed, "fresh encoder")),
    )?)
}
