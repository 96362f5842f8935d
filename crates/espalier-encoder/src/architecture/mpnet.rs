use super::EncoderConfig;
use super::bert::BERT;
use super::roberta::LM_HEAD;
use super::{Architecture, Description, MlmNames, Refused, variant};
use espalier_kernels::attention::BUCKETS;
use serde::Deserialize;

pub(super) const MPNET: Description = Description {
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

/// The row of a text's first token, whatever config.json says of the padding token: so it is in
/// transformers.
const FIRST_POSITION: usize = 2;

#[derive(Deserialize)]
struct Buckets {
    relative_attention_num_buckets: Option<usize>,
}

/// BERT's keys.
fn config(json: &[u8]) -> Result<EncoderConfig, Refused> {
    variant::check(json)?;
    let Buckets { relative_attention_num_buckets } = serde_json::from_slice(json)?;
    if let Some(other) = relative_attention_num_buckets.filter(|&buckets| buckets != BUCKETS) {
        let what = format!(
            "\"relative_attention_num_buckets\" {other} is not supported; supported: {BUCKETS}"
        );
        return Err(Refused::Unsupported(what));
    }
    let config: EncoderConfig = serde_json::from_slice(json)?;
    Ok(EncoderConfig {
        architecture: Architecture::Mpnet,
        first_position: FIRST_POSITION,
        type_vocab_size: 0,
        ..config
    })
}
