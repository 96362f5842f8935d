//! The settings of the NER side.

use super::CorpusConfig;
use crate::optimizer::Schedule;
use serde::{Deserialize, Serialize};

/// The NER side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NerConfig {
    /// Concept corpora. A sentence comes from a file in proportion to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// Sentences per batch.
    pub batch: usize,
    /// Weight of the loss. Averaged over all token x concept pairs, most of them easy negatives, the loss has gradients some hundred times
    /// smaller than InfoNCE's, which the default makes up for in part.
    pub weight: f32,
    /// Factor of the cosine between token and concept.
    pub scale: f32,
    /// Added to the score of token and concept.
    pub bias: f32,
    /// Peak learning rate of the two projections.
    pub projection_learning_rate: f32,
    /// Weight decay of the projections.
    pub projection_weight_decay: f32,
    /// Schedule of the projections; `None`: that of `train`.
    pub projection_schedule: Option<Schedule>,
    /// Warm-up of the projections; `None`: that of `train`.
    pub projection_warmup: Option<f32>,
}

impl Default for NerConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 32,
            weight: 30.0,
            scale: 10.0,
            bias: -4.0,
            projection_learning_rate: 1e-3,
            projection_weight_decay: 0.0,
            projection_schedule: None,
            projection_warmup: None,
        }
    }
}
