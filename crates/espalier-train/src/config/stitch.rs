//! The settings of the units between two columns.

use serde::{Deserialize, Serialize};

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
