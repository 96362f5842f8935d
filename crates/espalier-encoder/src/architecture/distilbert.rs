//! DistilBERT.

use super::EncoderConfig;
use super::{Architecture, ConfigError, Description, MlmNames, check_activation};
use serde::Deserialize;

impl Architecture {
    /// DistilBERT (arXiv 1910.01108): no token types.
    pub const DISTILBERT: Self = Self(&DISTILBERT);
}

const DISTILBERT: Description = Description {
    model_type: "distilbert",
    sizes: ["dim", "n_layers", "n_heads", "hidden_dim"],
    layers: "transformer.layer",
    modules: [
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "ffn.lin1",
        "ffn.lin2",
    ],
    norms: ["sa_layer_norm", "output_layer_norm"],
    token_types: false,
    relative_bias: None,
    text_task: "TOKEN_CLS",
    mlm: MlmNames {
        class: "DistilBertForMaskedLM",
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        bias: "vocab_projector.bias",
        decoder: "vocab_projector.weight",
    },
    config,
};

#[derive(Deserialize)]
struct Config {
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    activation: Option<String>,
}

/// Sinusoidal positions need no special case: the weights' file holds them like learned ones.
fn config(json: &[u8]) -> Result<EncoderConfig, ConfigError> {
    let config: Config = serde_json::from_slice(json)?;
    check_activation(config.activation.as_deref())?;
    Ok(EncoderConfig {
        architecture: Architecture::DISTILBERT,
        hidden_size: config.dim,
        num_hidden_layers: config.n_layers,
        num_attention_heads: config.n_heads,
        intermediate_size: config.hidden_dim,
        vocab_size: config.vocab_size,
        max_position_embeddings: config.max_position_embeddings,
        first_position: 0,
        type_vocab_size: 0,
        layer_norm_eps: 1e-12,
    })
}
