use super::EncoderConfig;
use super::bert::BERT;
use super::{Architecture, Description, MlmNames, Refused, variant};
use serde::Deserialize;

pub(super) const ROBERTA: Description =
    Description { model_type: "roberta", text_task: "TOKEN_CLS", mlm: LM_HEAD, config, ..BERT };

/// MPNet's has the same names in another class.
pub(super) const LM_HEAD: MlmNames = MlmNames {
    class: "RobertaForMaskedLM",
    dense: "lm_head.dense",
    norm: "lm_head.layer_norm",
    bias: "lm_head.bias",
    decoder: "lm_head.decoder.weight",
};

#[derive(Deserialize)]
struct Padding {
    pad_token_id: Option<usize>,
}

/// BERT's keys. The row of a token's position is its number, from one, plus the id of the padding
/// token: rows up to this id are never used, and texts are shorter than the table by as many.
fn config(json: &[u8]) -> Result<EncoderConfig, Refused> {
    variant::check(json)?;
    let Padding { pad_token_id } = serde_json::from_slice(json)?;
    let config: EncoderConfig = serde_json::from_slice(json)?;
    let first_position = pad_token_id.unwrap_or(1).saturating_add(1);
    Ok(EncoderConfig { architecture: Architecture::Roberta, first_position, ..config })
}
