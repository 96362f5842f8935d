//! What a step reports.

use super::Conflict;
use crate::objectives::BatchReport;
use crate::strategy::ObjectiveKind;
use std::collections::BTreeMap;

/// The report of one training step; a line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The step, from 1.
    pub step: usize,
    /// The number of steps of the run.
    pub steps: usize,
    /// The loss of each objective that had a batch, not weighted.
    pub losses: BTreeMap<ObjectiveKind, f64>,
    /// The global norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// The factor of the learning rates according to the schedule.
    pub learning_rate_factor: f32,
    /// The number of tokens in the batches.
    pub tokens: usize,
    /// The number of examples in the batches: sentences, pairs or pieces of text.
    pub examples: usize,
    /// How the families' gradients on the shared weights agree, in steps that measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// The mean loss of each objective on the validation set, in steps that validate.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<ObjectiveKind, f64>,
    /// The duration in seconds, without validation.
    pub seconds: f64,
}

/// The sums over the batches of one step.
#[derive(Default)]
pub(super) struct BatchTotals {
    pub(super) losses: BTreeMap<ObjectiveKind, f64>,
    pub(super) tokens: usize,
    pub(super) examples: usize,
    /// The beginning of each batch's first text, for error messages.
    pub(super) first_texts: Vec<(ObjectiveKind, String)>,
    pub(super) conflict: Option<Conflict>,
}

impl BatchTotals {
    pub(super) fn add(&mut self, objective: ObjectiveKind, batch: BatchReport) {
        self.losses.insert(objective, batch.loss);
        self.tokens += batch.tokens;
        self.examples += batch.examples;
        self.first_texts.push((objective, batch.first_text));
    }
}
