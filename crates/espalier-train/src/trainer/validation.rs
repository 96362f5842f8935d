//! The loss on the validation set, and early stopping.

use super::Trainer;
use crate::error::{Result, TrainError};
use crate::network::GradientTarget;
use crate::strategy::ObjectiveKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The best validation so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validation {
    /// The smallest weighted sum of losses on the validation set.
    pub(crate) best: Option<f64>,
    /// The step with that sum.
    pub(crate) best_step: usize,
    /// The number of validations since then.
    pub(crate) since_best: usize,
}

impl Trainer<'_> {
    /// The losses on the validation set, or nothing if no validation is due after `step`. Keeps a
    /// copy of the model if it is the best so far and the run may stop early.
    pub(super) fn validate(&mut self, step: usize) -> Result<BTreeMap<ObjectiveKind, f64>> {
        let train = &self.config.train;
        let due = step.is_multiple_of(train.validate_every) || step == train.steps;
        if train.validation == 0 || !due {
            return Ok(BTreeMap::new());
        }
        let (mut losses, mut score) = (BTreeMap::new(), 0.0);
        for objective in &mut self.objectives {
            let (kind, family) = (objective.kind(), objective.kind().family());
            let adapter = family.and_then(|family| self.adapters.get_mut(&family));
            let target = GradientTarget::None;
            let pass = self.encoder.pass(family, adapter, target, &mut self.activations)?;
            let Some(loss) = objective.validate(pass)? else { continue };
            if !loss.is_finite() {
                let batch = "validation set".into();
                return Err(TrainError::NotFinite { step, objective: kind, loss, batch });
            }
            score += f64::from(objective.weight()) * loss;
            losses.insert(kind, loss);
        }
        if losses.is_empty() {
            return Ok(losses);
        }
        if self.validation.best.is_none_or(|best| score < best) {
            self.validation = Validation { best: Some(score), best_step: step, since_best: 0 };
            self.best = (train.patience > 0).then(|| self.snapshot());
        } else {
            self.validation.since_best += 1;
        }
        Ok(losses)
    }

    /// Whether the run stops early, because validation has not improved for too long.
    pub(super) fn out_of_patience(&self) -> bool {
        let patience = self.config.train.patience;
        patience > 0 && self.validation.since_best >= patience
    }
}
