//! RoBERTa.

use super::EncoderConfig;
use super::bert::BERT;
use super::{Architecture, ConfigError, Description, MlmNames, check_variant};
use serde::Deserialize;

impl Architecture {
    /// RoBERTa (arXiv 1907.11692). NuNER has this architecture. Positions start after the padding
    /// token's id.
    pub const ROBERTA: Self = Self(&ROBERTA);
}

const ROBERTA: Description =
    Description { model_type: "roberta", text_task: "TOKEN_CLS", mlm: LM_HEAD, config, ..BERT };

/// MPNet's head has the same names in another class.
pub(super) const LM_HEAD: MlmNames = MlmNames {
    class: "RobertaForMaskedLM",
    dense: "lm_head.dense",
    norm: "lm_head.layer_norm",
    bias: "lm_head.bias",
    decoder: "lm_head.decoder.weight",
};

/// BERT's keys. A token's row in the position embeddings is its number, from 1, plus the id of the
/// padding token: rows up to that id are never used, and texts are shorter than the table by as
/// many.
fn config(json: &[u8]) -> Result<EncoderConfig, ConfigError> {
    #[derive(Deserialize)]
    struct Padding {
        pad_token_id: Option<usize>,
    }
    check_variant(json)?;
    let Padding { pad_token_id } = serde_json::from_slice(json)?;
    let config: EncoderConfig = serde_json::from_slice(json)?;
    let first_position = pad_token_id.unwrap_or(1).saturating_add(1);
    Ok(EncoderConfig { architecture: Architecture::ROBERTA, first_position, ..config })
}
