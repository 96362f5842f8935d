//! The settings of the family adapters.

use super::GroupConfig;
use espalier_encoder::{LoraConfig, Module};
use serde::{Deserialize, Deserializer, Serialize};

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
        let layers = if self.layers == 0 {
            LoraConfig::for_layers(encoder_layers).layers
        } else {
            self.layers
        };
        LoraConfig { layers, modules: self.modules.clone(), rank: self.rank, alpha: self.alpha }
    }
}
