//! The loss on examples that are never trained on, and what it decides.

use super::Run;
use super::pass::Pass;
use super::second::SecondValues;
use crate::error::{Result, TrainError};
use crate::objectives::Objective;
use espalier_encoder::{Family, Gradients, MlmHead, Model};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The best validation so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validation {
    /// The least sum of weighted losses on held-out examples.
    pub(crate) best: Option<f64>,
    /// The step that reached it.
    pub(crate) best_step: usize,
    /// Validations since.
    pub(crate) since_best: usize,
}

/// The weights of the best validation.
#[derive(Debug)]
pub(super) struct Best {
    pub(super) weights: Vec<f32>,
    pub(super) second: Option<SecondValues>,
    pub(super) adapters: BTreeMap<Family, Vec<f32>>,
    pub(super) head: Option<MlmHead>,
}

impl Run<'_> {
    /// The losses on held-out examples after `step`, if this step is one to validate at. Keeps the
    /// weights if they are the best yet and the run may stop early.
    pub(super) fn validate(&mut self, step: usize) -> Result<BTreeMap<Objective, f64>> {
        let train = &self.config.train;
        if train.validation == 0
            || (!step.is_multiple_of(train.validate_every) && step != train.steps)
        {
            return Ok(BTreeMap::new());
        }
        let mut losses = BTreeMap::new();
        let mut score = 0.0;
        for side in &mut self.sides {
            let objective = side.objective();
            let adapter = objective
                .family()
                .and_then(|family| self.adapters.get(&family))
                .map(|(lora, _)| lora);
            let model = Model {
                encoder: self.encoder,
                weights: &self.weights,
                packed: &self.packed,
                adapter,
            };
            let (activations, gradients) = (&mut self.activations, Gradients::default());
            let mut pass = Pass { model, activations, gradients, beside: None };
            if let (Some(second), Some(family)) = (&mut self.second, objective.family()) {
                pass = second.join(pass, family);
            }
            let Some(loss) = side.validate(pass)? else { continue };
            if !loss.is_finite() {
                return Err(TrainError::NotFinite {
                    step,
                    objective,
                    loss,
                    batch: "held-out examples".into(),
                });
            }
            score += f64::from(side.weight()) * loss;
            losses.insert(objective, loss);
        }
        if losses.is_empty() {
            return Ok(losses);
        }
        if self.validation.best.is_none_or(|best| score < best) {
            self.validation = Validation { best: Some(score), best_step: step, since_best: 0 };
            self.best = (train.patience > 0).then(|| self.current());
        } else {
            self.validation.since_best += 1;
        }
        Ok(losses)
    }

    /// Whether validation has not improved for so long that the run ends.
    pub(super) fn out_of_patience(&self) -> bool {
        let patience = self.config.train.patience;
        patience > 0 && self.validation.since_best >= patience
    }

    /// The weights as they are, to return to.
    pub(super) fn current(&self) -> Best {
        let adapters =
            self.adapters.iter().map(|(&family, (lora, _))| (family, lora.values.clone()));
        let second = self.second.as_ref().map(|second| second.values.clone());
        Best {
            weights: self.weights.clone(),
            second,
            adapters: adapters.collect(),
            head: self.head(),
        }
    }
}
