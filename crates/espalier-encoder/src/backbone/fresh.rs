//! A backbone that has not learnt anything yet.

use super::Backbone;
use super::directory::side_files;
use crate::architecture::EncoderConfig;
use crate::error::{EncoderError, Result};
use crate::memory;
use crate::model::Encoder;
use crate::pooling::TextVectors;
use crate::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A tokenizer's files.
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"];

impl Backbone {
    /// A BERT of this shape with the tokenizer in a directory, whose number of tokens is that of
    /// the word embeddings whatever `config` says. As in BERT, matrices and embeddings are drawn by
    /// `normal`, biases are zero and LayerNorms do nothing.
    ///
    /// # Errors
    /// Those of [`Tokenizer::read`], [`EncoderError::Unsupported`] for sizes that make no model,
    /// and [`EncoderError::Memory`] for those that make one which no memory here holds.
    pub fn random_init(
        config: EncoderConfig,
        tokenizer: &Path,
        mut normal: impl FnMut() -> f32,
    ) -> Result<Self> {
        let max_tokens = config.max_tokens();
        let unlimited = Tokenizer::read(tokenizer, usize::MAX, max_tokens)?;
        let config = EncoderConfig { vocab_size: unlimited.highest_id() as usize + 1, ..config };
        config.validate().map_err(|what| EncoderError::unsupported(tokenizer, what))?;
        let parameters = config.parameters();
        memory::check(
            format!("a fresh encoder of {parameters} parameters"),
            parameters * size_of::<f32>() as u64,
        )?;
        let mut files = side_files(tokenizer, &TOKENIZER_FILES)?;
        let mut settings = Map::new();
        if let Some(at) = files.iter().position(|(name, _)| *name == "tokenizer_config.json") {
            let path = tokenizer.join("tokenizer_config.json");
            settings =
                serde_json::from_slice(&files.remove(at).1).map_err(EncoderError::json(&path))?;
        }
        settings.insert("model_max_length".into(), max_tokens.into());
        files.push(("tokenizer_config.json", indented(&Value::Object(settings))));
        files.push(("config.json", indented(&description(&config))));

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
        Ok(Self::of_parts(encoder, unlimited, TextVectors::default(), weights, files))
    }
}

/// config.json of a BERT that was trained without dropout.
fn description(config: &EncoderConfig) -> Value {
    // In the digits that a person would write, not in those of the double nearest to it.
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
