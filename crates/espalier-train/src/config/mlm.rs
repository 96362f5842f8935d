//! The settings of masked language modelling.

use espalier_data::CorpusConfig;
use serde::{Deserialize, Serialize};

/// Masked language modelling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlmConfig {
    /// Text corpora. A piece of text comes from a file in proportion to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// Pieces of text per batch.
    pub batch: usize,
    /// The longest piece in tokens; longer documents are cut into several.
    pub max_tokens: usize,
    /// Share of the tokens that are hidden.
    pub probability: f32,
    /// Whether words are hidden with all their tokens.
    pub whole_words: bool,
    /// Weight of the loss.
    pub weight: f32,
}

impl Default for MlmConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 64,
            max_tokens: 128,
            probability: 0.15,
            whole_words: false,
            weight: 1.0,
        }
    }
}
