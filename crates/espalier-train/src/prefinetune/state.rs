//! All that a run must remember to go on exactly as it would have gone on.

use super::second::SecondValues;
use super::sides::OwnParameters;
use super::validation::Validation;
use super::{Prefinetuned, Run};
use crate::error::Result;
use crate::objectives::Objective;
use espalier_data::CorpusPosition;
use espalier_encoder::{Backbone, MlmHead};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a run stands, apart from its vectors of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// Updates done.
    pub(crate) step: usize,
    /// How far the drawing of each objective's examples is.
    pub(crate) positions: BTreeMap<Objective, CorpusPosition>,
    /// The best validation so far.
    pub(crate) validation: Validation,
    /// Whether the vectors of the best validation are among those of the run.
    pub(crate) keeps_best: bool,
}

impl Run<'_> {
    /// Updates done.
    pub(crate) fn steps_done(&self) -> usize {
        self.steps_done
    }

    /// Whether nothing is left to do.
    pub(crate) fn done(&self) -> bool {
        self.sides.is_empty()
            || self.steps_done >= self.config.train.steps
            || self.out_of_patience()
    }

    /// The model that the run ends with: the best in validation where that was kept, else the last.
    pub(crate) fn finish(mut self, backbone: &Backbone) -> Prefinetuned {
        let concepts = self.sides.iter().find_map(|side| side.concepts());
        let best = self.best.take().unwrap_or_else(|| self.current());
        let adapters = self.adapters.into_iter().zip(best.adapters.into_values());
        let adapters = adapters.map(|((family, (mut lora, _)), values)| {
            lora.values = values;
            (family, lora)
        });
        Prefinetuned {
            backbone: backbone.with_weights(best.weights).with_mlm_head(best.head),
            second: best.second.map(|values| values.column(backbone)),
            adapters: adapters.collect(),
            concepts,
        }
    }

    /// Where the run stands.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            step: self.steps_done,
            positions: self.sides.iter().map(|side| (side.objective(), side.position())).collect(),
            validation: self.validation.clone(),
            keeps_best: self.best.is_some(),
        }
    }

    /// The model as it is now.
    pub(crate) fn model(&self, backbone: &Backbone) -> Prefinetuned {
        let adapters =
            self.adapters.iter().map(|(&family, (lora, _))| (family, lora.clone())).collect();
        let second = self.second.as_ref().map(|second| second.values.clone().column(backbone));
        let backbone = backbone.with_weights(self.weights.clone()).with_mlm_head(self.head());
        Prefinetuned { backbone, second, adapters, concepts: None }
    }

    /// The head of masked language modelling as it is now, if it is trained.
    pub(super) fn head(&self) -> Option<MlmHead> {
        self.sides.iter().find_map(|side| side.head().cloned())
    }

    /// All that is trained or trains, but the shared weights: the second column and the stitches to
    /// it, the family adapters, the objectives' own parameters, the optimizer's moments, the best
    /// weights yet where they are kept. Each has a name.
    pub(crate) fn vectors(&mut self) -> Vec<(String, &mut [f32])> {
        let mut vectors = Vec::new();
        let mut groups: Vec<_> =
            self.theta.iter_mut().map(|group| ("theta".to_string(), group)).collect();
        if let Some(second) = &mut self.second {
            for (name, (values, group)) in
                ["column.tc", "stitches"].into_iter().zip(second.groups())
            {
                vectors.push((name.to_string(), values));
                groups.push((name.to_string(), group));
            }
        }
        for (family, (lora, group)) in &mut self.adapters {
            let name = format!("adapter.{}", family.name());
            vectors.push((name.clone(), lora.values.as_mut_slice()));
            groups.push((name, group));
        }
        for side in &mut self.sides {
            let objective = side.objective().name();
            for OwnParameters { name, values, group } in side.own_parameters() {
                let name = format!("objective.{objective}.{name}");
                vectors.push((name.clone(), values));
                groups.push((name, group));
            }
        }
        if self.optimizer.has_moments() {
            for (name, group) in groups {
                let (first, second) = group.moments();
                vectors.push((format!("{name}.first_moment"), first));
                vectors.push((format!("{name}.second_moment"), second));
            }
        }
        if let Some(best) = &mut self.best {
            vectors.push(("best.theta".into(), &mut best.weights));
            vectors.extend(
                best.head.iter_mut().map(|head| ("best.head".into(), head.values.as_mut_slice())),
            );
            if let Some(SecondValues { weights, stitches }) = &mut best.second {
                vectors.push(("best.column.tc".into(), weights));
                vectors.push(("best.stitches".into(), &mut stitches.values));
            }
            let adapters = best.adapters.iter_mut();
            vectors.extend(adapters.map(|(family, values)| {
                (format!("best.adapter.{}", family.name()), values.as_mut_slice())
            }));
        }
        vectors
    }

    /// Goes back to where a run of the same configuration and data stood. `weights` are the shared
    /// ones; `read` fills the vector of a name.
    ///
    /// # Errors
    /// What `read` says.
    ///
    /// # Panics
    /// If the weights are of another encoder.
    pub(crate) fn restore(
        &mut self,
        standing: Standing,
        weights: &[f32],
        mut read: impl FnMut(&str, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        self.weights.copy_from_slice(weights);
        self.packed.pack(self.encoder, &self.weights);
        self.optimizer.seek(standing.step);
        self.steps_done = standing.step;
        self.validation = standing.validation;
        self.best = standing.keeps_best.then(|| self.current());
        for side in &mut self.sides {
            standing
                .positions
                .get(&side.objective())
                .map_or(Ok(()), |position| side.seek(position))?;
        }
        self.vectors().into_iter().try_for_each(|(name, values)| read(&name, values))?;
        if let Some(second) = &mut self.second {
            second.pack(self.encoder);
        }
        Ok(())
    }
}
