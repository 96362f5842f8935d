//! The settings of fine-tuning.

use crate::config::{BATCH_RULE, BATCHES, RANK_RULE, RANKS};
use crate::error::{Result, TrainError};
use espalier_encoder::LoraConfig;
use serde::{Deserialize, Serialize};

/// How an adapter is trained; the same for every strategy and task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneConfig {
    /// Number of updates.
    pub steps: usize,
    /// Examples per update.
    pub batch: usize,
    /// Peak learning rate of the adapter; it falls to zero on a straight line.
    pub learning_rate: f32,
    /// Peak learning rate of the head.
    pub head_learning_rate: f32,
    /// Weight decay of both.
    pub weight_decay: f32,
    /// Share of the steps over which the learning rates rise.
    pub warmup: f32,
    /// Global norm that gradients are scaled down to; 0 for no clipping.
    pub clip_norm: f32,
    /// Seed of the head, a fresh adapter and the order of examples.
    pub seed: u64,
    /// Shape of a fresh adapter, where none is given to start from; `None` means
    /// [`LoraConfig::for_layers`].
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
    pub(super) fn check(&self) -> Result<()> {
        let number = |x: f32| x.is_finite() && x >= 0.0;
        let share = (0.0..=1.0).contains(&self.warmup);
        let (rank, alpha) = self.lora.as_ref().map_or((1, 1.0), |lora| (lora.rank, lora.alpha));
        let rules = [
            ("steps", self.steps.to_string(), self.steps > 0, "it must be at least 1"),
            ("batch", self.batch.to_string(), BATCHES.contains(&self.batch), BATCH_RULE),
            ("warmup", self.warmup.to_string(), share, "it must be between 0 and 1"),
            ("rank", rank.to_string(), RANKS.contains(&rank), RANK_RULE),
            ("alpha", alpha.to_string(), alpha.is_finite(), "it must be a number"),
            (
                "learning-rate",
                self.learning_rate.to_string(),
                number(self.learning_rate),
                "it must be at least 0",
            ),
            (
                "head-learning-rate",
                self.head_learning_rate.to_string(),
                number(self.head_learning_rate),
                "it must be at least 0",
            ),
            (
                "weight-decay",
                self.weight_decay.to_string(),
                number(self.weight_decay),
                "it must be at least 0",
            ),
            (
                "clip-norm",
                self.clip_norm.to_string(),
                number(self.clip_norm),
                "it must be at least 0",
            ),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, value, _, rule)) => Err(TrainError::ConfigValue { key, value, rule }),
            None => Ok(()),
        }
    }
}
