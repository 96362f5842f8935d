//! `summary.json`: the result of a run.

use super::log::Line;
use crate::config::PrefinetuneConfig;
use crate::strategy::ObjectiveKind;
use crate::trainer::{Prefinetuned, TrainingState};
use espalier_encoder::Family;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `summary.json`: the result of a run. A run with this file is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The number of steps done.
    pub step: usize,
    /// Whether the run stopped early.
    pub stopped_early: bool,
    /// The step with the best validation loss, if the model is that of this step and not the last.
    pub best_step: Option<usize>,
    /// The mean loss of each objective on the validation set, in the best step or the last.
    pub validation: BTreeMap<ObjectiveKind, f64>,
    /// The number of examples in all batches.
    pub examples: usize,
    /// The number of tokens in all batches.
    pub tokens: usize,
    /// The families with an adapter.
    pub adapters: Vec<Family>,
    /// The fingerprint of the trained encoder.
    pub backbone: String,
}

impl Summary {
    /// The summary of a run that ended in this state with this model. `lines` are its metrics.
    pub(super) fn new(
        config: &PrefinetuneConfig,
        state: &TrainingState,
        trained: &Prefinetuned,
        lines: &[Line],
    ) -> Self {
        let best_step = state.keeps_best.then_some(state.validation.best_step);
        let mut validated = lines.iter().filter(|line| !line.validation.is_empty());
        let validated = validated.rfind(|line| best_step.is_none_or(|best| line.step == best));
        Self {
            step: state.step,
            stopped_early: state.step < config.train.steps && !lines.is_empty(),
            best_step,
            validation: validated.map(|line| line.validation.clone()).unwrap_or_default(),
            examples: lines.iter().map(|line| line.examples).sum(),
            tokens: lines.iter().map(|line| line.tokens).sum(),
            adapters: trained.adapters.keys().copied().collect(),
            backbone: trained.backbone.fingerprint().to_string(),
        }
    }
}
