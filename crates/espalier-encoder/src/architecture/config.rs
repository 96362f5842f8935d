//! The shape of an encoder, from a Hugging Face config.json, and the linear modules of its layers.

use super::{Architecture, ConfigError, supported};
use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::attention::BUCKETS;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Shape and constants of an encoder. The fields have the names of BERT's config.json.
///
/// ```
/// use espalier_encoder::EncoderConfig;
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let config = EncoderConfig::read(format!("{directory}/config.json").as_ref())?;
/// assert_eq!((config.num_hidden_layers, config.hidden_size), (3, 32));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// The architecture.
    #[serde(default, rename = "model_type")]
    pub architecture: Architecture,
    /// H, the width of the hidden states.
    pub hidden_size: usize,
    /// L, the number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// F, the inner width of the feed-forward block.
    pub intermediate_size: usize,
    /// Rows of the word embeddings.
    pub vocab_size: usize,
    /// Rows of the position embeddings.
    pub max_position_embeddings: usize,
    /// The row of a text's first token in the position embeddings.
    #[serde(default)]
    pub first_position: usize,
    /// Rows of the token type embeddings: 0 where the architecture has no such table.
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

impl EncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`EncoderError::Json`] for a missing key or one of the wrong type,
    /// [`EncoderError::Unsupported`] for an architecture that is not in [`Architecture::ALL`], a
    /// variant that is not implemented (another activation than GELU, say), or sizes that make no
    /// model.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
        }
        let text = files::read_settings(path)?;
        let unsupported = |what: String| EncoderError::unsupported(path, what);
        let Kind { model_type } =
            serde_json::from_slice(&text).map_err(EncoderError::json(path))?;
        let name = model_type.ok_or_else(|| {
            unsupported("no \"model_type\": is this the config.json of an encoder?".into())
        })?;
        let architecture = Architecture::from_name(&name).ok_or_else(|| {
            unsupported(format!("architecture {name:?} is not supported; {}", supported()))
        })?;
        let config = (architecture.description().config)(&text).map_err(|error| match error {
            ConfigError::Json(error) => EncoderError::json(path)(error),
            ConfigError::Unsupported(what) => unsupported(what),
        })?;
        config.validate().map_err(unsupported)?;
        Ok(config)
    }

    /// The longest text in tokens that there are position embeddings for.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position)
    }

    /// The number of parameters. It does not overflow for sizes within the bounds of
    /// [`EncoderConfig::validate`], but may be more than this machine can address.
    pub fn parameters(&self) -> u64 {
        let [width, inner, layers] =
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers].map(|n| n as u64);
        let rows = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) as u64;
        let relative_bias = match self.architecture.description().relative_bias {
            Some(_) => BUCKETS * self.num_attention_heads,
            None => 0,
        };
        // Four linear layers H -> H, and the feed-forward block; their biases; two LayerNorms.
        let layer = 4 * width * width + 2 * width * inner + 5 * width + inner + 4 * width;
        (rows + 2) * width + relative_bias as u64 + layers * layer
    }

    /// Checks that these sizes make a model. The bounds are far above those of any published
    /// encoder; they keep the arithmetic on sizes from overflowing.
    ///
    /// # Errors
    /// What is wrong with them, naming the key of config.json.
    pub fn validate(&self) -> Result<(), String> {
        let description = self.architecture.description();
        let [width, layers, heads, inner] = description.sizes;
        let types = if description.token_types { 1..=1 << 10 } else { 0..=0 };
        let sizes = [
            (width, self.hidden_size, 1..=1 << 16),
            (layers, self.num_hidden_layers, 1..=1 << 10),
            (heads, self.num_attention_heads, 1..=1 << 16),
            (inner, self.intermediate_size, 1..=1 << 18),
            ("vocab_size", self.vocab_size, 1..=1 << 24),
            ("max_position_embeddings", self.max_position_embeddings, 1..=1 << 20),
            ("type_vocab_size", self.type_vocab_size, types),
        ];
        for (name, size, range) in sizes {
            if !range.contains(&size) {
                let (least, most) = range.into_inner();
                return Err(format!("\"{name}\" is {size}; it must be between {least} and {most}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (hidden_size, num_heads) = (self.hidden_size, self.num_attention_heads);
            return Err(format!(
                "\"{width}\" {hidden_size} is not a multiple of \"{heads}\" {num_heads}"
            ));
        }
        if self.parameters() > (isize::MAX as usize / size_of::<f32>()) as u64 {
            return Err(format!(
                "{} parameters are more than this machine can address",
                self.parameters()
            ));
        }
        if !(0.0..f32::INFINITY).contains(&self.layer_norm_eps) {
            return Err(format!(
                "\"layer_norm_eps\" is {}; it must be a number of at least 0",
                self.layer_norm_eps
            ));
        }
        if self.max_tokens() == 0 {
            let (first, rows) = (self.first_position, self.max_position_embeddings);
            return Err(format!(
                "\"max_position_embeddings\" is {rows}; a text's first token has row {first}"
            ));
        }
        Ok(())
    }
}

/// The linear modules of a transformer layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// Query projection of attention, H -> H.
    Query,
    /// Key projection of attention, H -> H.
    Key,
    /// Value projection of attention, H -> H.
    Value,
    /// Projection after attention, H -> H.
    AttentionOutput,
    /// First linear layer of the feed-forward block, H -> F.
    Intermediate,
    /// Second linear layer of the feed-forward block, F -> H.
    Output,
}

impl Module {
    /// All of them, in the order of computation.
    pub const ALL: [Module; 6] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::AttentionOutput,
        Self::Intermediate,
        Self::Output,
    ];

    /// Number of inputs and of outputs.
    pub fn shape(self, config: &EncoderConfig) -> (usize, usize) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        match self {
            Self::Intermediate => (hidden, inner),
            Self::Output => (inner, hidden),
            _ => (hidden, hidden),
        }
    }
}
