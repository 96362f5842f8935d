//! Pre-finetuning: one shared encoder learns from both families' corpora. [`Trainer::step`] is the
//! loop's body; read this file first.

mod conflict;
mod model;
mod state;
mod validation;

pub use conflict::{Agreement, Conflict, Part, measure_conflict};
pub use model::{Encoders, Prefinetuned, fresh_backbone};
pub(crate) use state::TrainingState;

use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::memory;
use crate::network::{GradientTarget, NetworkActivations, SharedEncoder};
use crate::objectives::{self, BatchReport, Objective};
use crate::optimizer::{Optimizer, OptimizerConfig, Parameters, StepSummary};
use crate::strategy::{Merge, ObjectiveKind, pcgrad};
use crate::trained::{TrainedAdapter, family_adapters};
use espalier_encoder::Family;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;
use validation::Validation;

/// The report of one step.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StepReport {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Loss of each objective trained, before its weight.
    pub losses: BTreeMap<ObjectiveKind, f64>,
    /// Global norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Factor of the learning rates by the schedule.
    pub learning_rate_factor: f32,
    /// Tokens that went through the encoder.
    pub tokens: usize,
    /// Sentences and pairs of the batches.
    pub examples: usize,
    /// How the families' gradients on the shared weights agreed, at the steps that measure it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// Mean loss of each objective on the validation set, at the steps that validate.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<ObjectiveKind, f64>,
    /// Duration without validation, seconds.
    pub seconds: f64,
}

/// Trains `backbone` as `config` says, calling `observe` after each step.
///
/// The same seed, data and machine give the same weights to the bit, whatever the number of
/// threads.
///
/// # Errors
/// [`TrainError`] for an invalid configuration, unreadable corpora, or a loss that is not finite.
pub fn prefinetune<'e>(
    encoders: impl Into<Encoders<'e>>,
    config: &PrefinetuneConfig,
    mut observe: impl FnMut(&StepReport),
) -> Result<Prefinetuned> {
    let encoders = encoders.into();
    let mut trainer = Trainer::new(encoders, config)?;
    while !trainer.is_done() {
        observe(&trainer.step()?);
    }
    Ok(trainer.finish(encoders.backbone))
}

/// A training run: everything that is trained, and what trains it.
pub(crate) struct Trainer<'a> {
    config: &'a PrefinetuneConfig,
    encoder: SharedEncoder<'a>,
    adapters: BTreeMap<Family, TrainedAdapter>,
    objectives: Vec<Box<dyn Objective + 'a>>,
    /// The second objective's gradient on the shared weights, where the strategy computes it
    /// separately; zero between steps.
    second_gradient: Vec<f32>,
    optimizer: Optimizer,
    activations: NetworkActivations,
    steps_done: usize,
    validation: Validation,
    /// The model with the best validation loss, where the run may stop early.
    best: Option<state::Snapshot>,
}

/// What the batches of a step leave beside gradients.
#[derive(Default)]
struct Batches {
    losses: BTreeMap<ObjectiveKind, f64>,
    tokens: usize,
    examples: usize,
    /// Beginning of each batch's first text, for messages.
    first_texts: Vec<(ObjectiveKind, String)>,
    conflict: Option<Conflict>,
}

impl<'a> Trainer<'a> {
    /// A run before its first step.
    pub(crate) fn new(encoders: Encoders<'a>, config: &'a PrefinetuneConfig) -> Result<Self> {
        let backbone = encoders.backbone;
        config.check()?;
        memory::check_encoder(&backbone.encoder.config, config)?;
        let train = &config.train;
        let second_gradient = match config.strategy.merge {
            Merge::Sum => Vec::new(),
            Merge::PcGrad => vec![0.0; backbone.weights().len()],
        };
        let optimizer = OptimizerConfig {
            kind: train.optimizer,
            schedule: train.schedule,
            steps: train.steps,
            warmup: train.warmup_steps(train.warmup),
            clip_norm: train.clip_norm,
        };
        Ok(Self {
            config,
            encoder: SharedEncoder::new(backbone, config),
            adapters: family_adapters(&backbone.encoder, config)?,
            objectives: objectives::create(backbone, encoders.teacher, config)?,
            second_gradient,
            optimizer: Optimizer::new(optimizer),
            activations: NetworkActivations::default(),
            steps_done: 0,
            validation: Validation::default(),
            best: None,
        })
    }

    /// One update, by a batch of each objective or of the one whose turn it is.
    pub(crate) fn step(&mut self) -> Result<StepReport> {
        let (step, start) = (self.steps_done + 1, Instant::now());
        let batches = self.forward_backward(step, self.measures_conflict(step))?;
        let summary = self.update(step).map_err(|error| error.in_batches(batches.first_texts))?;
        self.steps_done = step;
        let seconds = start.elapsed().as_secs_f64();
        let validation = self.validate(step)?;
        Ok(StepReport {
            step,
            steps: self.config.train.steps,
            losses: batches.losses,
            gradient_norm: summary.gradient_norm,
            learning_rate_factor: summary.learning_rate_factor,
            tokens: batches.tokens,
            examples: batches.examples,
            conflict: batches.conflict,
            validation,
            seconds,
        })
    }

    /// Draws a batch for each objective of the step, and leaves the gradients of the weighted
    /// losses in every parameter group. Compares the objectives' gradients on the shared weights
    /// if asked to.
    fn forward_backward(&mut self, step: usize, measure: bool) -> Result<Batches> {
        let (merge, drawn) = (self.config.strategy.merge, self.drawn(step));
        let (mut batches, mut first_gradient) = (Batches::default(), None);
        for index in drawn {
            let objective = &mut self.objectives[index];
            let (kind, family) = (objective.kind(), objective.kind().family());
            let adapter = family.and_then(|family| self.adapters.get_mut(&family));
            let target = match merge {
                Merge::PcGrad if index > 0 => GradientTarget::Separate(&mut self.second_gradient),
                _ => GradientTarget::Accumulate,
            };
            let pass = self.encoder.pass(family, adapter, target, &mut self.activations);
            let BatchReport { loss, tokens, examples, first_text } = objective.step(pass)?;
            if !loss.is_finite() {
                return Err(TrainError::NotFinite {
                    step,
                    objective: kind,
                    loss,
                    batch: first_text,
                });
            }
            batches.losses.insert(kind, loss);
            batches.tokens += tokens;
            batches.examples += examples;
            batches.first_texts.push((kind, first_text));
            if measure && index == 0 && merge == Merge::Sum {
                first_gradient = self.encoder.gradients().map(<[f32]>::to_vec);
            }
        }
        if measure {
            batches.conflict = self.conflict(first_gradient.as_deref());
        }
        self.merge_gradients();
        Ok(batches)
    }

    /// The objectives that have a batch in a step.
    fn drawn(&self, step: usize) -> Range<usize> {
        self.config.train.composition.drawn(step, self.objectives.len())
    }

    /// Makes one gradient on the shared weights of those that were computed separately.
    fn merge_gradients(&mut self) {
        if self.config.strategy.merge == Merge::PcGrad {
            if let Some(first) = self.encoder.gradients_mut() {
                pcgrad(first, &self.second_gradient);
            }
            self.second_gradient.fill(0.0);
        }
    }

    /// Updates everything that the step's objectives train by its gradients.
    fn update(&mut self, step: usize) -> Result<StepSummary> {
        let drawn = self.drawn(step);
        let Self { encoder, adapters, objectives, optimizer, .. } = self;
        optimizer.step(&mut parameters(encoder, adapters, &mut objectives[drawn]))
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        let steps = self.config.train.steps;
        self.objectives.is_empty() || self.steps_done >= steps || self.out_of_patience()
    }

    /// Updates done.
    pub(crate) fn steps_done(&self) -> usize {
        self.steps_done
    }
}

/// All that these objectives train: the shared encoder, their families' adapters, and their own
/// parameters.
fn parameters<'p>(
    encoder: &'p mut SharedEncoder,
    adapters: &'p mut BTreeMap<Family, TrainedAdapter>,
    objectives: &'p mut [Box<dyn Objective + '_>],
) -> Vec<Parameters<'p>> {
    let families = objectives.iter().filter_map(|objective| objective.kind().family());
    let families: Vec<Family> = families.collect();
    let adapters = adapters.iter_mut().filter(|(family, _)| families.contains(family));
    let mut parameters = encoder.parameters();
    parameters.extend(adapters.map(|(&family, adapter)| adapter.parameters(family)));
    parameters.extend(objectives.iter_mut().flat_map(|objective| objective.parameters()));
    parameters
}
