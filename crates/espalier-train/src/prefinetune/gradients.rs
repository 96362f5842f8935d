//! What a step's batches give: losses, and the gradients of everything that is trained.

use super::pass::Pass;
use super::second::Second;
use super::{Conflict, Encoders, Run, Side};
use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::objectives::Objective;
use crate::optimizer::Group;
use espalier_encoder::{Family, Gradients, Lora, Model};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a step's batches left beside gradients.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) losses: BTreeMap<Objective, f64>,
    pub(super) tokens: usize,
    pub(super) examples: usize,
    /// Beginning of each batch's first text.
    pub(super) first_texts: Vec<(Objective, String)>,
    pub(super) conflict: Option<Conflict>,
}

impl Run<'_> {
    /// The sides that take part in a step.
    pub(super) fn sides_of(&self, step: usize) -> Range<usize> {
        self.config.train.composition.of_step(step, self.sides.len())
    }

    /// Leaves in every group its gradient by the batches of a step, and compares the families'
    /// gradients on theta if asked to.
    pub(super) fn gradients(&mut self, step: usize, measure: bool) -> Result<Gathered> {
        let (combine, taking_part) = (self.config.strategy.combine(), self.sides_of(step));
        let (mut gathered, mut first) = (Gathered::default(), None);
        for (index, side) in
            self.sides.iter_mut().enumerate().filter(|(index, _)| taking_part.contains(index))
        {
            let objective = side.objective();
            let (adapter, adapter_gradients) =
                match objective.family().and_then(|family| self.adapters.get_mut(&family)) {
                    Some((lora, group)) => (Some(&*lora), Some(group.gradients.as_mut_slice())),
                    None => (None, None),
                };
            let model = Model {
                encoder: self.encoder,
                weights: &self.weights,
                packed: &self.packed,
                adapter,
            };
            let shared = match combine.is_some() && index > 0 {
                true => Some(self.apart.as_mut_slice()),
                false => self.theta.as_mut().map(|group| group.gradients.as_mut_slice()),
            };
            let gradients = Gradients {
                weights: shared,
                embeddings: !self.config.train.freeze_embeddings,
                adapter: adapter_gradients,
            };
            let mut pass =
                Pass { model, activations: &mut self.activations, gradients, beside: None };
            if let (Some(second), Some(family)) = (&mut self.second, objective.family()) {
                pass = second.join(pass, family);
            }
            let report = side.step(pass)?;
            if !report.loss.is_finite() {
                return Err(TrainError::NotFinite {
                    step,
                    objective,
                    loss: report.loss,
                    batch: report.first_text,
                });
            }
            gathered.losses.insert(objective, report.loss);
            gathered.tokens += report.tokens;
            gathered.examples += report.examples;
            gathered.first_texts.push((objective, report.first_text));
            if measure && index == 0 && combine.is_none() {
                first = self.theta.as_ref().map(|group| group.gradients.clone());
            }
        }
        gathered.conflict = self.theta.as_ref().filter(|_| measure).map(|theta| match &first {
            // The second gradient came on top of the first.
            Some(first) => {
                Conflict::between(&self.encoder.layout, first, &difference(&theta.gradients, first))
            }
            None => Conflict::between(&self.encoder.layout, &theta.gradients, &self.apart),
        });
        if let (Some(combine), Some(theta)) = (combine, &mut self.theta) {
            combine(&mut theta.gradients, &self.apart);
            self.apart.fill(0.0);
        }
        Ok(gathered)
    }
}

/// a - b.
fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// All that these sides train, with what trains it: theta, the second column, their families'
/// adapters and their own parameters.
pub(super) fn groups<'g>(
    weights: &'g mut [f32],
    theta: &'g mut Option<Group>,
    second: &'g mut Option<Second>,
    adapters: &'g mut BTreeMap<Family, (Lora, Group)>,
    sides: &'g mut [Box<dyn Side + '_>],
) -> Vec<(&'g mut [f32], &'g mut Group)> {
    let families: Vec<Family> = sides.iter().filter_map(|side| side.objective().family()).collect();
    let adapters = adapters.iter_mut().filter(|(family, _)| families.contains(family));
    let mut groups: Vec<(&mut [f32], &mut Group)> = Vec::new();
    groups.extend(theta.as_mut().map(|group| (weights, group)));
    groups.extend(second.iter_mut().flat_map(Second::groups));
    groups.extend(adapters.map(|(_, (lora, group))| (lora.values.as_mut_slice(), group)));
    let own = sides.iter_mut().flat_map(|side| side.own_parameters());
    groups.extend(own.map(|own| (own.values, own.group)));
    groups
}

/// Measures, without training anything, how the families' gradients on the shared weights lie to
/// each other on `batches` batches of each family, calling `observe` with the number of the batch,
/// from 1, and the measurement.
///
/// # Errors
/// As [`prefinetune`](super::prefinetune()), and when no two gradients meet under the strategy.
pub fn measure_conflict<'e>(
    encoders: impl Into<Encoders<'e>>,
    config: &PrefinetuneConfig,
    batches: usize,
    mut observe: impl FnMut(usize, Conflict),
) -> Result<()> {
    config.check_measurable()?;
    let mut run = Run::start(encoders.into(), config)?;
    for batch in 1..=batches {
        let gathered = run.gradients(batch, true)?;
        gathered.conflict.into_iter().for_each(|conflict| observe(batch, conflict));
        let Run { weights, theta, second, adapters, sides, .. } = &mut run;
        groups(weights, theta, second, adapters, sides)
            .into_iter()
            .for_each(|(_, group)| group.gradients.fill(0.0));
    }
    Ok(())
}
