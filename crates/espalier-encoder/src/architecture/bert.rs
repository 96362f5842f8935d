//! BERT.

use super::EncoderConfig;
use super::{Architecture, ConfigError, Description, MlmNames, check_variant};

impl Architecture {
    /// BERT (arXiv 1810.04805). MiniLM and TinyBERT have this architecture.
    pub const BERT: Self = Self(&BERT);
}

pub(super) const BERT: Description = Description {
    model_type: "bert",
    sizes: ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"],
    layers: "encoder.layer",
    modules: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    token_types: true,
    relative_bias: None,
    text_task: "SEQ_CLS",
    mlm: MlmNames {
        class: "BertForMaskedLM",
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        bias: "cls.predictions.bias",
        decoder: "cls.predictions.decoder.weight",
    },
    config,
};

/// The fields of [`EncoderConfig`] are the keys of this config.json.
fn config(json: &[u8]) -> Result<EncoderConfig, ConfigError> {
    check_variant(json)?;
    let config: EncoderConfig = serde_json::from_slice(json)?;
    Ok(EncoderConfig { architecture: Architecture::BERT, first_position: 0, ..config })
}
