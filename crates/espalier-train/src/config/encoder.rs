//! The settings of what is trained: the encoder from scratch (`[scratch]`), the family adapters
//! (`[adapter]`), and the stitches of cross-stitch (`[stitch]`).

use super::GroupConfig;
use espalier_encoder::{LoraConfig, Module};
use serde::{Deserialize, Deserializer, Serialize};
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

/// The family adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// k: the last k layers carry adapters; 0 means a third of the layers.
    pub layers: usize,
    /// Modules of these layers.
    pub modules: Vec<Module>,
    /// r.
    pub rank: usize,
    /// alpha.
    pub alpha: f32,
    /// The parameter group of each.
    #[serde(deserialize_with = "group")]
    pub group: GroupConfig,
}

fn group<'de, D: Deserializer<'de>>(given: D) -> Result<GroupConfig, D::Error> {
    AdapterConfig::default().group.or_given(given)
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            layers: 0,
            modules: Module::ALL.to_vec(),
            rank: 8,
            alpha: 16.0,
            group: GroupConfig::new(1e-3, 0.01),
        }
    }
}

impl AdapterConfig {
    /// The adapter's shape on an encoder of L layers.
    pub fn lora(&self, encoder_layers: usize) -> LoraConfig {
        let default = LoraConfig::for_layers(encoder_layers);
        let layers = if self.layers == 0 { default.layers } else { self.layers };
        let shape = default.with_layers(layers).with_modules(self.modules.clone());
        shape.with_rank(self.rank).with_alpha(self.alpha)
    }
}

/// The units of cross-stitch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StitchConfig {
    /// What a column keeps of itself at the start.
    pub own: f32,
    /// What it gets of the other column at the start.
    pub other: f32,
    /// Peak learning rate. It follows the schedule of `train`; nothing decays.
    pub learning_rate: f32,
}

impl Default for StitchConfig {
    fn default() -> Self {
        Self { own: 0.9, other: 0.1, learning_rate: 1e-3 }
    }
}
