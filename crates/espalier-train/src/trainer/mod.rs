//! The training loop of pretraining and pre-finetuning. `Trainer::step` is one step of it: start
//! reading there.

mod conflict;
mod model;
mod report;
mod state;
mod validation;

pub use conflict::{Agreement, Conflict, Part, measure_conflict};
pub use model::{Encoders, Prefinetuned, fresh_backbone};
pub use report::StepReport;
pub(crate) use state::TrainingState;

use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::memory;
use crate::network::{GradientTarget, NetworkActivations, SharedEncoder};
use crate::objectives::{self, Objective};
use crate::optimizer::{Optimizer, OptimizerConfig, Parameters, StepSummary};
use crate::strategy::{Merge, pcgrad};
use crate::trained::{TrainedAdapter, family_adapters};
use espalier_encoder::Family;
use report::BatchTotals;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;
use validation::Validation;

/// Trains a backbone with the strategy and the settings of `config`. Calls `observe` after each
/// step.
///
/// With the same seed, data and machine the weights are the same, bit for bit, for any number of
/// threads.
///
/// ```
/// use espalier_encoder::Backbone;
/// use espalier_train::strategy::Strategy;
/// use espalier_train::{PrefinetuneConfig, prefinetune};
///
/// # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// # let directory = tempfile::tempdir()?;
/// let backbone = Backbone::open(model.as_ref())?;
/// let corpus = directory.path().join("pairs.jsonl");
/// let pairs = r#"{"anchor": "a cheap hotel", "positive": "about hotels"}
///                {"anchor": "a train to paris", "positive": "about trains"}"#;
/// std::fs::write(&corpus, pairs)?;
///
/// let mut config = PrefinetuneConfig::default();
/// config.strategy = Strategy::TC;
/// config.tc.corpora = vec![corpus.into()];
/// (config.tc.batch, config.train.steps) = (2, 3);
/// let mut steps = Vec::new();
/// let trained = prefinetune(&backbone, &config, |report| steps.push(report.step))?;
/// assert_eq!(steps, [1, 2, 3]);
/// assert_ne!(trained.backbone.fingerprint(), backbone.fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// A training run: the parameters, the objectives with their corpora, and the optimizer.
pub(crate) struct Trainer<'a> {
    config: &'a PrefinetuneConfig,
    encoder: SharedEncoder<'a>,
    adapters: BTreeMap<Family, TrainedAdapter>,
    objectives: Vec<Box<dyn Objective + 'a>>,
    /// The second objective's gradient on the shared weights, for [`Merge::PcGrad`], which needs
    /// the two apart. Zero between steps; empty for [`Merge::Sum`].
    separate_gradient: Vec<f32>,
    optimizer: Optimizer,
    activations: NetworkActivations,
    steps_done: usize,
    validation: Validation,
    /// The model with the best validation loss, kept if the run may stop early.
    best: Option<state::Snapshot>,
}

impl<'a> Trainer<'a> {
    /// A run before its first step.
    pub(crate) fn new(encoders: Encoders<'a>, config: &'a PrefinetuneConfig) -> Result<Self> {
        let Encoders { backbone, teacher, text_teacher } = encoders;
        config.check()?;
        memory::check_encoder(&backbone.encoder.config, config)?;
        let train = &config.train;
        let separate_gradient = match config.strategy.merge {
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
            objectives: objectives::create(backbone, teacher, text_teacher, config)?,
            separate_gradient,
            optimizer: Optimizer::new(optimizer),
            activations: NetworkActivations::default(),
            steps_done: 0,
            validation: Validation::default(),
            best: None,
        })
    }

    /// One training step: forward and backward on the batches, the update, and validation if due.
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

    /// Draws a batch for each active objective and accumulates the gradients of the weighted losses
    /// in the parameter groups. With [`Merge::Sum`] (tpl, joint) both backward passes add to the
    /// same gradients of the shared weights: this is where the two families meet. With `measure`,
    /// compares their gradients on the shared weights.
    fn forward_backward(&mut self, step: usize, measure: bool) -> Result<BatchTotals> {
        let merge = self.config.strategy.merge;
        let (mut totals, mut first_gradient) = (BatchTotals::default(), None);
        for index in self.active_objectives(step) {
            let objective = &mut self.objectives[index];
            let (kind, family) = (objective.kind(), objective.kind().family());
            let adapter = family.and_then(|family| self.adapters.get_mut(&family));
            let target = match merge {
                Merge::PcGrad if index > 0 => GradientTarget::Separate(&mut self.separate_gradient),
                _ => GradientTarget::Accumulate,
            };
            let pass = self.encoder.pass(family, adapter, target, &mut self.activations)?;
            let batch = objective.forward_backward(pass)?;
            if !batch.loss.is_finite() {
                let (objective, loss, batch) = (kind, batch.loss, batch.first_text);
                return Err(TrainError::NotFinite { step, objective, loss, batch });
            }
            totals.add(kind, batch);
            if measure && index == 0 && merge == Merge::Sum {
                first_gradient = self.encoder.gradients().map(<[f32]>::to_vec);
            }
        }
        if measure {
            totals.conflict = self.conflict(first_gradient.as_deref());
        }
        self.merge_gradients();
        Ok(totals)
    }

    /// The indices of the objectives that have a batch in a step.
    fn active_objectives(&self, step: usize) -> Range<usize> {
        self.config.train.composition.active(step, self.objectives.len())
    }

    /// Merges the gradients on the shared weights that were computed separately: PCGrad only. With
    /// [`Merge::Sum`] they are summed already.
    fn merge_gradients(&mut self) {
        if self.config.strategy.merge == Merge::PcGrad {
            if let Some(first) = self.encoder.gradients_mut() {
                pcgrad(first, &self.separate_gradient);
            }
            self.separate_gradient.fill(0.0);
        }
    }

    /// The optimizer step, on the parameters of the active objectives.
    fn update(&mut self, step: usize) -> Result<StepSummary> {
        let active = self.active_objectives(step);
        let Self { encoder, adapters, objectives, optimizer, .. } = self;
        optimizer.step(&mut parameters(encoder, adapters, &mut objectives[active]))
    }

    /// Whether the run is complete, or stops early.
    pub(crate) fn is_done(&self) -> bool {
        let steps = self.config.train.steps;
        self.objectives.is_empty() || self.steps_done >= steps || self.out_of_patience()
    }

    /// The number of steps done.
    pub(crate) fn steps_done(&self) -> usize {
        self.steps_done
    }
}

/// Everything that these objectives train: the shared encoder, the adapters of their families, and
/// their own parameters.
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
