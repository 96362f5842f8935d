//! The settings of the training loop (`[train]`), and of parameter groups.

use crate::optimizer::{OptimizerKind, Schedule};
use espalier_encoder::Compute;
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::Range;

/// The settings of the training loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// The number of training steps.
    pub steps: usize,
    /// Which objectives have a batch in a step: `both` or `alternating`.
    pub composition: Composition,
    /// `adamw` or `sgd`.
    pub optimizer: OptimizerKind,
    /// `constant`, `linear` or `cosine`.
    pub schedule: Schedule,
    /// The fraction of the steps over which the learning rates rise (warm-up).
    pub warmup: f32,
    /// The global norm to clip gradients to; 0 for no clipping.
    pub clip_norm: f32,
    /// The peak learning rate of the backbone.
    pub learning_rate: f32,
    /// The weight decay of the backbone's matrices.
    pub weight_decay: f32,
    /// Whether to freeze the word, position and type embeddings.
    pub freeze_embeddings: bool,
    /// The precision of matrix products. Weights, accumulators, losses and the optimizer always use
    /// f32.
    pub precision: Compute,
    /// The number of examples of each objective in the validation set, at most a tenth of its
    /// corpora; 0 for no validation.
    pub validation: usize,
    /// The number of steps from one validation to the next.
    pub validate_every: usize,
    /// The number of validations without improvement after which the run stops early. The result
    /// is then the model with the best validation loss. 0 disables this: the result is the last
    /// model.
    pub patience: usize,
    /// The number of steps from one checkpoint to the next. With 0 there is one at the end, and one
    /// when the run is interrupted.
    pub checkpoint_every: usize,
    /// The number of checkpoints to keep.
    pub keep_checkpoints: usize,
}

/// Which objectives have a batch in a step, if there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Composition {
    /// All of them.
    #[default]
    Both,
    /// One, alternating from step to step.
    Alternating,
}

impl Composition {
    /// The indices of the objectives, out of `objectives`, that have a batch in a step, from 1.
    pub(crate) fn active(self, step: usize, objectives: usize) -> Range<usize> {
        match self {
            Self::Alternating if objectives > 0 => {
                let index = (step - 1) % objectives;
                index..index + 1
            }
            _ => 0..objectives,
        }
    }

    /// The number of steps from one batch of an objective to its next.
    pub(crate) fn period(self, objectives: usize) -> usize {
        if self == Self::Alternating { objectives.max(1) } else { 1 }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            composition: Composition::Both,
            optimizer: OptimizerKind::AdamW,
            schedule: Schedule::Linear,
            warmup: 0.1,
            clip_norm: 1.0,
            learning_rate: 5e-5,
            weight_decay: 0.01,
            freeze_embeddings: false,
            precision: Compute::Auto,
            validation: 0,
            validate_every: 100,
            patience: 0,
            checkpoint_every: 500,
            keep_checkpoints: 2,
        }
    }
}

impl TrainConfig {
    /// The schedule and the number of warm-up steps of a parameter group.
    pub(crate) fn schedule_of(&self, group: &GroupConfig) -> (Schedule, usize) {
        let warmup = group.warmup.unwrap_or(self.warmup);
        (group.schedule.unwrap_or(self.schedule), self.warmup_steps(warmup))
    }

    /// The number of warm-up steps, from the fraction of all steps.
    pub(crate) fn warmup_steps(&self, fraction: f32) -> usize {
        (fraction * self.steps as f32) as usize
    }
}

/// The settings of a parameter group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GroupConfig {
    /// The peak learning rate.
    pub learning_rate: f32,
    /// The weight decay.
    pub weight_decay: f32,
    /// The schedule; `None` for that of `train`.
    pub schedule: Option<Schedule>,
    /// The fraction of the steps that is warm-up; `None` for that of `train`.
    pub warmup: Option<f32>,
}

/// The keys of a group that are in a file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of settings")]
struct PartialGroup {
    learning_rate: Option<f32>,
    weight_decay: Option<f32>,
    schedule: Option<Schedule>,
    warmup: Option<f32>,
}

impl GroupConfig {
    /// A group with the schedule of `train`.
    pub(super) fn new(learning_rate: f32, weight_decay: f32) -> Self {
        Self { learning_rate, weight_decay, schedule: None, warmup: None }
    }

    /// Reads a group from a file; keys that are not there keep the values of `self`. There is no
    /// `Deserialize` because each group has its own defaults.
    pub(super) fn deserialize_over<'de, D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let keys = PartialGroup::deserialize(deserializer)?;
        Ok(Self {
            learning_rate: keys.learning_rate.unwrap_or(self.learning_rate),
            weight_decay: keys.weight_decay.unwrap_or(self.weight_decay),
            schedule: keys.schedule.or(self.schedule),
            warmup: keys.warmup.or(self.warmup),
        })
    }
}
