//! Random initialisation of a backbone.

use super::Backbone;
use super::directory::read_copied;
use crate::architecture::EncoderConfig;
use crate::encoder::Encoder;
use crate::error::{EncoderError, Result};
use crate::memory;
use crate::pooling::TextVectors;
use crate::tokenizer::{Tokenizer, TokenizerLimits};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The files of a tokenizer.
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"];

impl Backbone {
    /// A BERT of this shape with random weights and the tokenizer in a directory. `vocab_size` is
    /// ignored: there are as many word embeddings as the tokenizer has tokens. As in BERT, matrices
    /// and embeddings are drawn by `normal`, biases are zero, and LayerNorm weights are one.
    ///
    /// ```
    /// use espalier_encoder::{Backbone, EncoderConfig};
    ///
    /// # fn main() -> Result<(), espalier_encoder::EncoderError> {
    /// let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    /// let config = EncoderConfig::read(format!("{tokenizer}/config.json").as_ref())?;
    /// let config = EncoderConfig { num_hidden_layers: 1, ..config };
    /// let backbone = Backbone::random_init(config, tokenizer.as_ref(), || 0.02)?;
    /// assert_eq!(backbone.encoder.layers(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Tokenizer::read`], [`EncoderError::Unsupported`] for sizes that make no model,
    /// and [`EncoderError::Memory`] for more parameters than there is memory for.
    pub fn random_init(
        config: EncoderConfig,
        tokenizer: &Path,
        mut normal: impl FnMut() -> f32,
    ) -> Result<Self> {
        let max_tokens = config.max_tokens();
        let limits = TokenizerLimits { max_tokens, ..TokenizerLimits::default() };
        let (directory, tokenizer) = (tokenizer, Tokenizer::read(tokenizer, limits)?);
        let config = EncoderConfig { vocab_size: tokenizer.highest_id() as usize + 1, ..config };
        config.validate().map_err(|what| EncoderError::unsupported(directory, what))?;
        let parameters = config.parameters();
        memory::check(
            format!("an encoder of {parameters} parameters"),
            parameters * size_of::<f32>() as u64,
        )?;
        let mut files = read_copied(directory, &TOKENIZER_FILES)?;
        let mut settings = Map::new();
        if let Some(at) = files.iter().position(|(name, _)| *name == "tokenizer_config.json") {
            let path = directory.join("tokenizer_config.json");
            settings =
                serde_json::from_slice(&files.remove(at).1).map_err(EncoderError::json(&path))?;
        }
        settings.insert("model_max_length".into(), max_tokens.into());
        files.push(("tokenizer_config.json", indented(&Value::Object(settings))));
        files.push(("config.json", indented(&config_json(&config))));

        let encoder = Encoder::new(config);
        let mut weights = vec![0.0; encoder.layout.len()];
        for spec in &encoder.layout.tensors {
            let values = &mut weights[spec.range.clone()];
            match spec.shape.len() {
                1 if spec.name.ends_with("LayerNorm.weight") => values.fill(1.0),
                1 => {}
                _ => values.fill_with(&mut normal),
            }
        }
        let text_encoder = Self::text_encoder(encoder, tokenizer, TextVectors::default(), weights);
        Ok(Self { text_encoder, copied_files: files.into(), head: None })
    }
}

/// The config.json of a BERT without dropout.
fn config_json(config: &EncoderConfig) -> Value {
    // Through the shortest decimal: 1e-12 and not the double that is nearest to the f32.
    let eps =
        config.layer_norm_eps.to_string().parse::<f64>().unwrap_or(config.layer_norm_eps.into());
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": eps,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    })
}

fn indented(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
