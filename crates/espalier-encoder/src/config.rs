//! The shape of an encoder, from a Hugging Face config.json.

use crate::error::{EncoderError, Result};
use crate::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Shape and constants of a BERT encoder; the fields carry the names of config.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// H, the width of the token vectors.
    pub hidden_size: usize,
    /// L, the number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// F, the width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Rows of the word embeddings.
    pub vocab_size: usize,
    /// Rows of the position embeddings: the longest text in tokens.
    pub max_position_embeddings: usize,
    /// Rows of the token-type embeddings.
    #[serde(default = "default_type_vocab_size")]
    pub type_vocab_size: usize,
    /// Added to the variance in every LayerNorm.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f32,
}

fn default_type_vocab_size() -> usize {
    2
}

fn default_layer_norm_eps() -> f32 {
    1e-12
}

/// Keys that are not shapes but decide whether this engine can run the model at all.
#[derive(Deserialize)]
struct Variant {
    model_type: Option<String>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl EncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`EncoderError::Json`] for a missing or ill-typed key, [`EncoderError::Unsupported`] for an architecture other than
    /// BERT, an activation other than GELU, relative positions, or sizes that make no model.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read(path)?;
        let variant: Variant = serde_json::from_slice(&text).map_err(EncoderError::json(path))?;
        let unsupported = |what: String| Err(EncoderError::Unsupported { path: path.to_path_buf(), what });
        match variant.model_type.as_deref() {
            Some("bert") => {}
            Some(other) => return unsupported(format!("architecture {other:?} is not supported; supported: \"bert\"")),
            None => return unsupported("no \"model_type\": is this the config.json of an encoder?".into()),
        }
        if let Some(other) = variant.hidden_act.filter(|act| act != "gelu") {
            return unsupported(format!("activation {other:?} is not supported; supported: \"gelu\""));
        }
        if let Some(other) = variant.position_embedding_type.filter(|kind| kind != "absolute") {
            return unsupported(format!(
                "position embeddings of type {other:?} are not supported; supported: \"absolute\""
            ));
        }
        if variant.is_decoder {
            return unsupported("\"is_decoder\" is true; only encoders are supported, which read both ways".into());
        }
        let config: Self = serde_json::from_slice(&text).map_err(EncoderError::json(path))?;
        match config.mistake() {
            Some(mistake) => unsupported(mistake),
            None => Ok(config),
        }
    }

    /// What makes these sizes impossible, if anything does. The bounds are far above every published encoder; they keep
    /// the arithmetic on sizes from overflowing.
    pub fn mistake(&self) -> Option<String> {
        let sizes = [
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 16),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("vocab_size", self.vocab_size, 1 << 24),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 10),
        ];
        for (name, size, limit) in sizes {
            if size == 0 || size > limit {
                return Some(format!("\"{name}\" is {size}; it must be between 1 and {limit}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
            return Some(format!("\"hidden_size\" {hidden} is not a multiple of \"num_attention_heads\" {heads}"));
        }
        None
    }
}
