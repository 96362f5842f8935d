//! The settings of fine-tuning.

use crate::config::{BATCH_RULE, BATCHES, RANK_RULE, RANKS};
use crate::error::{Result, TrainError};
use espalier_encoder::LoraConfig;
use serde::{Deserialize, Serialize};

/// The settings of fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FinetuneConfig {
    /// The number of training steps.
    pub steps: usize,
    /// The number of examples of a batch.
    pub batch: usize,
    /// The peak learning rate of the adapter. After the warm-up the learning rates decrease
    /// linearly to zero.
    pub learning_rate: f32,
    /// The peak learning rate of the head.
    pub head_learning_rate: f32,
    /// The weight decay of the adapter and the head.
    pub weight_decay: f32,
    /// The fraction of the steps over which the learning rates rise (warm-up).
    pub warmup: f32,
    /// The global norm to clip gradients to; 0 for no clipping.
    pub clip_norm: f32,
    /// The seed of the head, of a fresh adapter, and of the order of examples.
    pub seed: u64,
    /// The shape of a fresh adapter; `None` for [`LoraConfig::for_layers`].
    pub lora: Option<LoraConfig>,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            steps: 300,
            batch: 16,
            learning_rate: 1e-3,
            head_learning_rate: 5e-3,
            weight_decay: 0.01,
            warmup: 0.1,
            clip_norm: 1.0,
            seed: 0,
            lora: None,
        }
    }
}

impl FinetuneConfig {
    /// Checks that all values are in range. The keys are those of the command line.
    pub(super) fn check(&self) -> Result<()> {
        let (rank, alpha) = self.lora.as_ref().map_or((1, 1.0), |lora| (lora.rank, lora.alpha));
        let warmup = (0.0..=1.0).contains(&self.warmup);
        let rules = [
            ("steps", self.steps.to_string(), self.steps > 0, "it must be at least 1"),
            ("batch", self.batch.to_string(), BATCHES.contains(&self.batch), BATCH_RULE),
            ("warmup", self.warmup.to_string(), warmup, "it must be between 0 and 1"),
            ("rank", rank.to_string(), RANKS.contains(&rank), RANK_RULE),
            ("alpha", alpha.to_string(), alpha.is_finite(), "it must be a number"),
        ];
        let non_negative = [
            ("learning-rate", self.learning_rate),
            ("head-learning-rate", self.head_learning_rate),
            ("weight-decay", self.weight_decay),
            ("clip-norm", self.clip_norm),
        ]
        .map(|(key, value)| {
            (key, value.to_string(), value.is_finite() && value >= 0.0, "it must be at least 0")
        });
        match rules.into_iter().chain(non_negative).find(|(_, _, valid, _)| !valid) {
            Some((key, value, _, rule)) => Err(TrainError::ConfigValue { key, value, rule }),
            None => Ok(()),
        }
    }
}
