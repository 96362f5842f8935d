//! The settings of the loop (`[train]`), and of parameter groups.

use crate::optimizer::{OptimizerKind, Schedule};
use espalier_encoder::Compute;
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::Range;

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of updates.
    pub steps: usize,
    /// What an update's batch is made of: `both` or `alternating`.
    pub composition: Composition,
    /// `adamw` or `sgd`.
    pub optimizer: OptimizerKind,
    /// `constant`, `linear` or `cosine`.
    pub schedule: Schedule,
    /// Share of the steps over which the learning rates rise.
    pub warmup: f32,
    /// Global norm that gradients are scaled down to; 0 for no clipping.
    pub clip_norm: f32,
    /// Peak learning rate of the backbone.
    pub learning_rate: f32,
    /// Weight decay of the backbone's matrices.
    pub weight_decay: f32,
    /// Whether word, position and type embeddings stay as they are.
    pub freeze_embeddings: bool,
    /// What matrix products are computed in. Weights, sums, losses and the optimizer are f32 in any
    /// case.
    pub precision: Compute,
    /// Examples of each family that are held out for validation, at most a tenth of them; 0 for no
    /// validation.
    pub validation: usize,
    /// Steps from one validation to the next.
    pub validate_every: usize,
    /// Validations without improvement after which the run ends with the best weights; 0 for never,
    /// and the last weights.
    pub patience: usize,
    /// Steps from one checkpoint to the next; 0 for one at the end or when the run is interrupted.
    pub checkpoint_every: usize,
    /// Checkpoints that are kept.
    pub keep_checkpoints: usize,
}

/// Whose batches an update takes, where a strategy trains both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Composition {
    /// A batch of each family.
    #[default]
    Both,
    /// A batch of one family, taking turns.
    Alternating,
}

impl Composition {
    /// Which of so many objectives have a batch in step `step`, counted from 1.
    pub(crate) fn drawn(self, step: usize, objectives: usize) -> Range<usize> {
        match self {
            Self::Alternating if objectives > 0 => {
                let turn = (step - 1) % objectives;
                turn..turn + 1
            }
            _ => 0..objectives,
        }
    }

    /// An objective has a batch in one of this many steps.
    pub(crate) fn every(self, objectives: usize) -> usize {
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
    /// The schedule and the warm-up steps of a parameter group.
    pub(crate) fn schedule_of(&self, group: &GroupConfig) -> (Schedule, usize) {
        let warmup = group.warmup.unwrap_or(self.warmup);
        (group.schedule.unwrap_or(self.schedule), self.warmup_steps(warmup))
    }

    /// The steps of a warm-up that is given as a share of all.
    pub(crate) fn warmup_steps(&self, share: f32) -> usize {
        (share * self.steps as f32) as usize
    }
}

/// A parameter group: its own learning rate and weight decay, and perhaps its own schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupConfig {
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Schedule; `None`: that of `train`.
    pub schedule: Option<Schedule>,
    /// Warm-up as a share of the steps; `None`: that of `train`.
    pub warmup: Option<f32>,
}

/// The keys that a file gives of a group.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    learning_rate: Option<f32>,
    weight_decay: Option<f32>,
    schedule: Option<Schedule>,
    warmup: Option<f32>,
}

impl GroupConfig {
    /// With the schedule of `train`.
    pub(super) fn new(learning_rate: f32, weight_decay: f32) -> Self {
        Self { learning_rate, weight_decay, schedule: None, warmup: None }
    }

    /// A group of which a file may give some keys; the others are as here. Each group has its own
    /// defaults, so that there is no other way to read one.
    pub(super) fn or_given<'de, D: Deserializer<'de>>(self, given: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(given)?;
        Ok(Self {
            learning_rate: given.learning_rate.unwrap_or(self.learning_rate),
            weight_decay: given.weight_decay.unwrap_or(self.weight_decay),
            schedule: given.schedule.or(self.schedule),
            warmup: given.warmup.or(self.warmup),
        })
    }
}
