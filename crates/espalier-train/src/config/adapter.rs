//! The settings of the family adapters.

use crate::optimizer::Schedule;
use espalier_encoder::{LoraConfig, Module};
use serde::{Deserialize, Serialize};

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
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Schedule; `None`: that of `train`.
    pub schedule: Option<Schedule>,
    /// Warm-up; `None`: that of `train`.
    pub warmup: Option<f32>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            layers: 0,
            modules: Module::ALL.to_vec(),
            rank: 8,
            alpha: 16.0,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            schedule: None,
            warmup: None,
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
