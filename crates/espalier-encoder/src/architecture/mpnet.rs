//! MPNet.

use super::EncoderConfig;
use super::bert::BERT;
use super::roberta::LM_HEAD;
use super::{Architecture, ConfigError, Description, MlmNames, check_variant};
use espalier_kernels::attention::BUCKETS;
use serde::Deserialize;

impl Architecture {
    /// MPNet (arXiv 2004.09297): no token types, and a bias by relative position in attention.
    pub const MPNET: Self = Self(&MPNET);
}

const MPNET: Description = Description {
    model_type: "mpnet",
    modules: [
        "attention.attn.q",
        "attention.attn.k",
        "attention.attn.v",
        "attention.attn.o",
        "intermediate.dense",
        "output.dense",
    ],
    norms: ["attention.LayerNorm", "output.LayerNorm"],
    token_types: false,
    relative_bias: Some("encoder.relative_attention_bias.weight"),
    text_task: "TOKEN_CLS",
    mlm: MlmNames { class: "MPNetForMaskedLM", ..LM_HEAD },
    config,
    ..BERT
};

/// The row of a text's first token in the position embeddings. As in transformers, it does not
/// depend on the id of the padding token in config.json.
const FIRST_POSITION: usize = 2;

/// BERT's keys.
fn config(json: &[u8]) -> Result<EncoderConfig, ConfigError> {
    #[derive(Deserialize)]
    struct Buckets {
        relative_attention_num_buckets: Option<usize>,
    }
    check_variant(json)?;
    let Buckets { relative_attention_num_buckets } = serde_json::from_slice(json)?;
    if let Some(other) = relative_attention_num_buckets.filter(|&buckets| buckets != BUCKETS) {
        let what = format!(
            "\"relative_attention_num_buckets\" {other} is not supported; supported: {BUCKETS}"
        );
        return Err(ConfigError::Unsupported(what));
    }
    let config: EncoderConfig = serde_json::from_slice(json)?;
    Ok(EncoderConfig {
        architecture: Architecture::MPNET,
        first_position: FIRST_POSITION,
        type_vocab_size: 0,
        ..config
    })
}
