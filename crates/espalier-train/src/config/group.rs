//! The settings of a parameter group.

use crate::optimizer::Schedule;
use serde::{Deserialize, Deserializer, Serialize};

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
