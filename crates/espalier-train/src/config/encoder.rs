//! The settings of the model: the encoder from scratch (`[scratch]`), the family adapters
//! (`[adapter]`), and the stitches of cross-stitch (`[stitch]`).

use super::GroupConfig;
use espalier_encoder::{LoraConfig, Module};
use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// The shape of a randomly initialized BERT, for `backbone = "scratch"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ScratchConfig {
    /// The directory of the tokenizer, as written by `espalier tokenizer train`. A relative path is
    /// resolved as those of corpora.
    pub tokenizer: PathBuf,
    /// L, the number of layers.
    pub layers: usize,
    /// H, the width of the hidden states.
    pub width: usize,
    /// The number of attention heads of a layer.
    pub heads: usize,
    /// F, the inner width of the feed-forward blocks.
    pub inner: usize,
    /// The number of position embeddings: the largest number of tokens of a text.
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
#[non_exhaustive]
pub struct AdapterConfig {
    /// k, the number of last layers with an adapter; 0 for a third of the layers.
    pub layers: usize,
    /// The modules with an adapter in each of these layers.
    pub modules: Vec<Module>,
    /// r, the rank of the LoRA.
    pub rank: usize,
    /// alpha; the LoRA is scaled by alpha / r.
    pub alpha: f32,
    /// The parameter group of each adapter.
    #[serde(deserialize_with = "group")]
    pub group: GroupConfig,
}

fn group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupConfig, D::Error> {
    AdapterConfig::default().group.deserialize_over(deserializer)
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
    /// The shape of an adapter on an encoder of L layers.
    pub fn lora(&self, encoder_layers: usize) -> LoraConfig {
        let default = LoraConfig::for_layers(encoder_layers);
        let layers = if self.layers == 0 { default.layers } else { self.layers };
        let shape = default.with_layers(layers).with_modules(self.modules.clone());
        shape.with_rank(self.rank).with_alpha(self.alpha)
    }
}

/// The stitches of cross-stitch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StitchConfig {
    /// The initial weight of an encoder's own hidden states.
    pub own: f32,
    /// The initial weight of the other encoder's hidden states.
    pub other: f32,
    /// The peak learning rate. The schedule is that of `train`; there is no weight decay.
    pub learning_rate: f32,
}

impl Default for StitchConfig {
    fn default() -> Self {
        Self { own: 0.9, other: 0.1, learning_rate: 1e-3 }
    }
}
