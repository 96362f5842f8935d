//! All that a run must save to continue exactly as it would have continued.

use super::validation::Validation;
use super::{Trainer, parameters};
use crate::error::Result;
use crate::objectives::MLM_HEAD;
use crate::optimizer::Parameters;
use crate::strategy::ObjectiveKind;
use espalier_data::CorpusPosition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a run, apart from its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingState {
    /// Updates done.
    pub(crate) step: usize,
    /// How far the drawing of each objective's examples is.
    pub(crate) positions: BTreeMap<ObjectiveKind, CorpusPosition>,
    /// The best validation so far.
    pub(crate) validation: Validation,
    /// Whether the vectors of the best model are among those of the run.
    pub(crate) keeps_best: bool,
}

/// The values of a model, each vector with the name of its parameters.
pub(super) type Snapshot = Vec<(&'static str, Vec<f32>)>;

/// The name of the shared weights.
const THETA: &str = "theta";

impl Trainer<'_> {
    /// The state now.
    pub(crate) fn state(&self) -> TrainingState {
        let position =
            |objective: &dyn crate::objectives::Objective| (objective.kind(), objective.position());
        TrainingState {
            step: self.steps_done,
            positions: self.objectives.iter().map(|objective| position(&**objective)).collect(),
            validation: self.validation.clone(),
            keeps_best: self.best.is_some(),
        }
    }

    /// All vectors that are trained or that training needs, but the shared weights, which are saved
    /// as the model: the second encoder and its stitches, the family adapters, the objectives' own
    /// parameters, the optimizer's moments, and the best model yet where it is kept.
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

    /// Continues from where a run of the same configuration and data was. `weights` are the shared
    /// ones; `read` fills the vector of a name.
    ///
    /// # Errors
    /// Those of `read`.
    ///
    /// # Panics
    /// If the weights are of another encoder.
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

    /// The model as it is now, to return to.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let theta = (THETA, self.encoder.weights().to_vec()); // even where it is frozen
        let others = self.all_parameters().into_iter();
        let others = others.filter(|parameters| is_in_model(parameters.name));
        let others = others.map(|parameters| (parameters.name, parameters.values.to_vec()));
        [theta].into_iter().chain(others).collect()
    }

    /// Returns to a model.
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

/// Whether parameters are of the model that a run leaves, beside theta: objectives' own ones are
/// not, but for the head of masked language modelling.
fn is_in_model(name: &str) -> bool {
    name != THETA && (name == MLM_HEAD || !name.starts_with("objective."))
}

/// The name in checkpoints of the best model's values.
fn name_of_best(name: &str) -> String {
    if name == MLM_HEAD { "best.head".into() } else { format!("best.{name}") }
}
