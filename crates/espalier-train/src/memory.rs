//! The least memory that training takes, compared with what the machine has before anything is
//! allocated.
//!
//! A lower bound, so that nothing is refused that could have worked.

use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::optimizer::OptimizerKind;
use espalier_encoder::{EncoderConfig, memory};

/// Bytes of a number of the model.
const F32: u64 = size_of::<f32>() as u64;
/// The special tokens around every text, however short.
const TOKENS: u64 = 2;

/// Checks that an encoder can be trained here as `config` says: its weights, and where they are
/// trained their gradients and the optimizer's moments, in f32, for each column.
pub(crate) fn check_encoder(encoder: &EncoderConfig, config: &PrefinetuneConfig) -> Result<()> {
    let numbers = match (config.strategy.trains_encoder, config.train.optimizer) {
        (false, _) => 1,
        (true, OptimizerKind::Sgd) => 2,
        (true, OptimizerKind::AdamW) => 4,
    };
    let encoders = if config.strategy.family_encoders { 2 } else { 1 };
    let parameters = encoders * encoder.parameters();
    Ok(memory::check(format!("training {parameters} parameters"), parameters * numbers * F32)?)
}

/// Checks that what a pass through `layers` layers leaves for the way back can be kept for so many
/// texts at once: in each layer vectors of six widths and two inner widths in bf16 or more, and of
/// two widths in f32.
pub(crate) fn check_batch(config: &EncoderConfig, layers: usize, texts: usize) -> Result<()> {
    let [width, inner, layers] =
        [config.hidden_size, config.intermediate_size, layers].map(|n| n as u64);
    let of_token = layers * (2 * (6 * width + 2 * inner) + 2 * width * F32);
    Ok(memory::check(format!("a batch of {texts} texts"), texts as u64 * TOKENS * of_token)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Strategy;

    fn config(width: usize, layers: usize) -> EncoderConfig {
        let config = serde_json::json!({
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 1, "intermediate_size": 4 * width,
            "vocab_size": 30_000, "max_position_embeddings": 512,
        });
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn what_no_machine_holds_is_refused_with_its_size() {
        let (small, huge) = (config(384, 6), config(1 << 16, 1 << 10));
        let mut settings = PrefinetuneConfig::default();
        assert!(check_encoder(&small, &settings).is_ok());
        // 12 H^2 weights and 13 H vectors a layer, 30,514 rows of embeddings, and their norm; 16
        // bytes each.
        let message = check_encoder(&huge, &settings).unwrap_err().to_string();
        let parameters: u64 = (12 << 42) + (13 << 26) + ((30_514 + 2) << 16);
        let size = (16 * parameters).div_ceil(1_000_000_000);
        let expected = format!("training {parameters} parameters takes at least {size} GB");
        assert!(message.starts_with(&expected), "{message}");
        settings.strategy = Strategy::NONE;
        assert!(check_encoder(&config(1 << 10, 24), &settings).is_ok());
        assert!(check_batch(&small, 6, 1024).is_ok());
        let message = check_batch(&huge, 1 << 10, 1 << 20).unwrap_err().to_string();
        assert!(message.starts_with("a batch of 1048576 texts takes at least "), "{message}");
    }
}
