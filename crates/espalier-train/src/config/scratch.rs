//! The shape of an encoder that starts from nothing.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A fresh BERT, where `backbone` is "scratch".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScratchConfig {
    /// The directory of its tokenizer, as `espalier tokenizer train` writes it; a relative path
    /// counts as those of corpora.
    pub tokenizer: PathBuf,
    /// L, transformer layers.
    pub layers: usize,
    /// H, width of the token vectors.
    pub width: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// F, width inside the feed-forward blocks.
    pub inner: usize,
    /// The longest text in tokens.
    pub positions: usize,
}

impl Default for ScratchConfig {
    fn default() -> Self {
        Self {
            tokenizer: PathBuf::new(),
            layers: 4,
            width: 256,
            heads: 4,
            inner: 1024,
            positions: 128,
        }
    }
}
