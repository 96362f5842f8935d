//! Pre-finetuning: one shared encoder learns from both families' corpora.

mod concept_model;
mod conflict;
mod encoders;
mod gradients;
mod pass;
mod save;
mod scratch;
mod second;
mod sides;
mod state;
mod teacher;
mod validation;

pub use concept_model::ConceptModel;
pub use conflict::{Agreement, Conflict, Part};
pub use encoders::Encoders;
pub use gradients::measure_conflict;
pub use scratch::fresh_backbone;
pub use teacher::Teacher;

use crate::columns::SecondColumn;
use crate::config::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use crate::initialization::uniform;
use crate::memory;
use crate::objectives::Objective;
use crate::optimizer::{Group, Optimizer, StepSummary};
use espalier_data::sampling::generator;
use espalier_encoder::{Activations, Backbone, Encoder, Family, Lora, PackedWeights};
use gradients::{Gathered, groups};
use second::Second;
use sides::{Side, sides};
use std::collections::BTreeMap;
use std::time::Instant;
use validation::{Best, Validation};

pub(crate) use state::Standing;

/// The result of a run.
#[derive(Debug)]
pub struct Prefinetuned {
    /// The shared encoder with its new weights, and with the head of masked language modelling if
    /// that was trained; or the NER family's column.
    pub backbone: Backbone,
    /// The classification family's column, where each family has its own, and the stitches to it.
    pub second: Option<SecondColumn>,
    /// The family adapters, for strategies that have them.
    pub adapters: BTreeMap<Family, Lora>,
    /// What scores tokens against concepts, where it was to be kept.
    pub concepts: Option<ConceptModel>,
}

/// What one step did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StepReport {
    /// The step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Loss of each objective trained, before its weight.
    pub losses: BTreeMap<Objective, f64>,
    /// Global norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Factor of the learning rates by the schedule.
    pub learning_rate_factor: f32,
    /// Tokens that went through the encoder.
    pub tokens: usize,
    /// Sentences and pairs of the batches.
    pub examples: usize,
    /// How the families' gradients on the shared weights lay to each other, if this step was one to
    /// measure at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// Mean loss of each objective on held-out examples, if this step was one to validate at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<Objective, f64>,
    /// Duration without validation, seconds.
    pub seconds: f64,
}

/// Trains `backbone` as `config` says, calling `observe` after each step.
///
/// The same seed, data and machine give the same weights to the bit, whatever the number of
/// threads.
///
/// # Errors
/// [`TrainError`] for an invalid configuration, unreadable corpora, or a loss that is no longer a
/// number.
pub fn prefinetune<'e>(
    encoders: impl Into<Encoders<'e>>,
    config: &PrefinetuneConfig,
    mut observe: impl FnMut(&StepReport),
) -> Result<Prefinetuned> {
    let encoders = encoders.into();
    let mut run = Run::start(encoders, config)?;
    while !run.done() {
        observe(&run.step()?);
    }
    Ok(run.finish(encoders.backbone))
}

/// A run in progress: everything that is trained, and what trains it.
pub(crate) struct Run<'a> {
    config: &'a PrefinetuneConfig,
    encoder: &'a Encoder,
    weights: Vec<f32>,
    packed: PackedWeights,
    /// What trains the shared weights, unless they are frozen.
    theta: Option<Group>,
    /// The second column, where each family has its own.
    second: Option<Second>,
    /// The second family's gradients on theta, where the strategy keeps them apart.
    apart: Vec<f32>,
    adapters: BTreeMap<Family, (Lora, Group)>,
    sides: Vec<Box<dyn Side + 'a>>,
    optimizer: Optimizer,
    activations: Activations,
    steps_done: usize,
    validation: Validation,
    /// What validation returns to, where the run may stop early.
    best: Option<Best>,
}

impl<'a> Run<'a> {
    /// A run at its beginning.
    pub(crate) fn start(encoders: Encoders<'a>, config: &'a PrefinetuneConfig) -> Result<Self> {
        let backbone = encoders.backbone;
        config.check()?;
        let train = &config.train;
        memory::check_encoder(&backbone.encoder.config, config)?;
        let (schedule, warmup) = train.pace(None, None);
        let weights = backbone.weights().to_vec();
        Ok(Self {
            config,
            encoder: &backbone.encoder,
            packed: PackedWeights::new(&backbone.encoder, &weights, train.precision.precision()),
            weights,
            theta: config.strategy.trains_theta().then(|| theta_group(&backbone.encoder, config)),
            second: config.strategy.has_family_columns().then(|| Second::new(backbone, config)),
            apart: config
                .strategy
                .combine()
                .map_or(Vec::new(), |_| vec![0.0; backbone.weights().len()]),
            adapters: family_adapters(&backbone.encoder, config)?,
            sides: sides(encoders, config)?,
            optimizer: Optimizer::new(
                train.optimizer,
                schedule,
                train.steps,
                warmup,
                train.clip_norm,
            ),
            activations: Activations::default(),
            steps_done: 0,
            validation: Validation::default(),
            best: None,
        })
    }

    /// One update, by a batch of each family or of the one whose turn it is.
    pub(crate) fn step(&mut self) -> Result<StepReport> {
        let step = self.steps_done + 1;
        let start = Instant::now();
        let every = self.config.conflict.every;
        let measure =
            every > 0 && step.is_multiple_of(every) && self.config.check_measurable().is_ok();
        let Gathered { losses, tokens, examples, first_texts, conflict } =
            self.gradients(step, measure)?;
        let summary = self.update(step).map_err(|error| error.in_batches(first_texts))?;
        self.steps_done = step;
        let seconds = start.elapsed().as_secs_f64();
        let validation = self.validate(step)?;
        Ok(StepReport {
            step,
            steps: self.config.train.steps,
            losses,
            gradient_norm: summary.gradient_norm,
            learning_rate_factor: summary.learning_rate_factor,
            tokens,
            examples,
            conflict,
            validation,
            seconds,
        })
    }

    /// Moves everything that the step's sides train by its gradients.
    fn update(&mut self, step: usize) -> Result<StepSummary> {
        let sides = self.sides_of(step);
        let Self { weights, theta, second, adapters, sides: all, optimizer, .. } = self;
        let summary =
            optimizer.step(&mut groups(weights, theta, second, adapters, &mut all[sides]))?;
        if self.theta.is_some() {
            self.packed.pack(self.encoder, &self.weights);
        }
        if let Some(second) = &mut self.second {
            second.pack(self.encoder);
        }
        Ok(summary)
    }
}

/// A fresh adapter for each family whose objective the strategy trains, if it has family adapters.
fn family_adapters(
    encoder: &Encoder,
    config: &PrefinetuneConfig,
) -> Result<BTreeMap<Family, (Lora, Group)>> {
    if !config.strategy.has_family_adapters() {
        return Ok(BTreeMap::new());
    }
    let shape = config.adapter.lora(encoder.layers());
    if shape.layers > encoder.layers() {
        let rule = "the encoder has fewer layers than that";
        return Err(TrainError::ConfigValue {
            key: "adapter.layers",
            value: shape.layers.to_string(),
            rule,
        });
    }
    let adapter = |family: Family| {
        let mut rng = generator(config.seed, &format!("adapter {}", family.name()));
        let lora = Lora::random_init(&encoder.config, &shape, uniform(&mut rng));
        let run = (0..lora.values.len(), config.adapter.weight_decay);
        let (schedule, warmup) = config.train.pace(config.adapter.schedule, config.adapter.warmup);
        let group = Group::new(lora.values.len(), config.adapter.learning_rate, vec![run]);
        let group = group.with_schedule(schedule, warmup).in_turns(turns(config));
        (family, (lora, group))
    };
    Ok(config
        .strategy
        .objectives()
        .iter()
        .filter_map(|objective| objective.family())
        .map(adapter)
        .collect())
}

/// What an objective alone trains is updated in one of this many steps.
fn turns(config: &PrefinetuneConfig) -> usize {
    config.train.composition.turns(config.strategy.objectives().len())
}

/// The shared weights, or a column of them.
fn theta_group(encoder: &Encoder, config: &PrefinetuneConfig) -> Group {
    encoder_group(encoder, config, config.train.learning_rate, config.train.weight_decay)
}

/// The parameters of an encoder: matrices decay, biases and LayerNorms do not, frozen embeddings
/// stay out.
fn encoder_group(
    encoder: &Encoder,
    config: &PrefinetuneConfig,
    learning_rate: f32,
    weight_decay: f32,
) -> Group {
    let layout = &encoder.layout;
    let frozen = if config.train.freeze_embeddings { layout.embeddings.all.end } else { 0 };
    let trained = layout.tensors.iter().filter(|spec| spec.range.start >= frozen);
    let runs =
        trained.map(|spec| (spec.range.clone(), if spec.decays() { weight_decay } else { 0.0 }));
    Group::new(layout.len(), learning_rate, runs.collect())
}
