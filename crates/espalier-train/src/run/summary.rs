//! `summary.json`: how a run ended. It is written last: where it is, the run is finished.

use crate::strategy::ObjectiveKind;
use espalier_encoder::Family;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Updates done.
    pub step: usize,
    /// Whether validation ended the run before its last step.
    pub stopped_early: bool,
    /// The step that the weights are of, where the run kept the best in validation.
    pub best_step: Option<usize>,
    /// Mean loss of each objective on held-out examples, at that step or else at the last.
    pub validation: BTreeMap<ObjectiveKind, f64>,
    /// Sentences and pairs trained on, counted as often as they came.
    pub examples: usize,
    /// Tokens that went through the encoder in training.
    pub tokens: usize,
    /// Families with an adapter of their own.
    pub adapters: Vec<Family>,
    /// Fingerprint of the encoder.
    pub backbone: String,
}
