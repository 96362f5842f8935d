//! The state that a checkpoint needs to resume a run, bit for bit.

use super::validation::Validation;
use super::{Trainer, parameters};
use crate::error::Result;
use crate::objectives::MLM_HEAD;
use crate::optimizer::Parameters;
use crate::strategy::ObjectiveKind;
use espalier_data::CorpusPosition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a run, except its vectors ([`Trainer::vectors`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingState {
    /// The number of steps done.
    pub(crate) step: usize,
    /// The position of each objective in its corpora.
    pub(crate) positions: BTreeMap<ObjectiveKind, CorpusPosition>,
    /// The best validation so far.
    pub(crate) validation: Validation,
    /// Whether [`Trainer::vectors`] includes the best model.
    pub(crate) keeps_best: bool,
}

/// A copy of a model: the names and values of its parameters.
pub(super) type Snapshot = Vec<(&'static str, Vec<f32>)>;

/// The name of the shared weights.
const THETA: &str = "theta";

impl Trainer<'_> {
    /// The current state.
    pub(crate) fn state(&self) -> TrainingState {
        let objectives = self.objectives.iter();
        TrainingState {
            step: self.steps_done,
            positions: objectives
                .map(|objective| (objective.kind(), objective.position()))
                .collect(),
            validation: self.validation.clone(),
            keeps_best: self.best.is_some(),
        }
    }

    /// The vectors of a checkpoint, by name: the second encoder and the stitches, the family
    /// adapters, the objectives' own parameters, the optimizer's moments, and the best model if it
    /// is kept. The shared weights are not included, because they are saved with the model.
    pub(crate) fn vectors(&mut self) -> Vec<(String, &mut [f32])> {
        let has_moments = self.optimizer.has_moments();
        let Self { encoder, adapters, objectives, best, .. } = self;
        let (mut values, mut moments) = (Vec::new(), Vec::new());
        for parameters in parameters(encoder, adapters, objectives) {
            let Parameters { name, values: own, group, .. } = parameters;
            if name != THETA {
                values.push((name.to_string(), own));
            }
            if has_moments {
                let (first, second) = group.moments();
                moments.push((format!("{name}.first_moment"), first));
                moments.push((format!("{name}.second_moment"), second));
            }
        }
        let best = best.iter_mut().flatten();
        let best = best.map(|(name, values)| (name_of_best(name), values.as_mut_slice()));
        values.into_iter().chain(moments).chain(best).collect()
    }

    /// Resumes a run of the same configuration and data. `weights` are the shared weights; `read`
    /// fills the vector with a name.
    ///
    /// # Errors
    /// The errors of `read`.
    ///
    /// # Panics
    /// If the number of weights differs.
    pub(crate) fn restore(
        &mut self,
        state: TrainingState,
        weights: &[f32],
        mut read: impl FnMut(&str, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        self.encoder.load(weights);
        self.optimizer.seek(state.step);
        self.steps_done = state.step;
        self.validation = state.validation;
        self.best = state.keeps_best.then(|| self.snapshot());
        for objective in &mut self.objectives {
            if let Some(position) = state.positions.get(&objective.kind()) {
                objective.seek(position)?;
            }
        }
        self.vectors().into_iter().try_for_each(|(name, values)| read(&name, values))?;
        self.all_parameters().into_iter().for_each(|mut parameters| parameters.repack());
        Ok(())
    }

    /// A copy of the current model.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let theta = (THETA, self.encoder.weights().to_vec()); // included even if it is frozen
        let others = self.all_parameters().into_iter();
        let others = others.filter(|parameters| is_in_model(parameters.name));
        let others = others.map(|parameters| (parameters.name, parameters.values.to_vec()));
        [theta].into_iter().chain(others).collect()
    }

    /// Loads a snapshot.
    pub(super) fn load(&mut self, snapshot: &Snapshot) {
        for Parameters { name, values, .. } in self.all_parameters() {
            if let Some((_, best)) = snapshot.iter().find(|(known, _)| *known == name) {
                values.copy_from_slice(best);
            }
        }
    }

    fn all_parameters(&mut self) -> Vec<Parameters<'_>> {
        parameters(&mut self.encoder, &mut self.adapters, &mut self.objectives)
    }
}

/// Whether the parameters with this name, other than theta, are part of the final model. The
/// objectives' own parameters are not, except the masked-LM head.
fn is_in_model(name: &str) -> bool {
    name != THETA && (name == MLM_HEAD || !name.starts_with("objective."))
}

/// The name in checkpoints of the best model's parameters.
fn name_of_best(name: &str) -> String {
    if name == MLM_HEAD { "best.head".into() } else { format!("best.{name}") }
}
