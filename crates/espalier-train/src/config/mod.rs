//! The configuration of a pre-finetuning run: one TOML file is the whole truth of it.

mod check;
mod corpus;
mod parse;

pub use corpus::CorpusConfig;

use crate::error::{Result, TrainError};
use crate::optimizer::{OptimizerKind, Schedule};
use crate::strategies::Strategy;
use espalier_encoder::{Compute, LoraConfig, Module, Pooling};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// Everything that decides a run. What a file leaves out has the default shown by [`PrefinetuneConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefinetuneConfig {
    /// The encoder to start from: a directory, a relative path counting as those of corpora, or a hub id.
    pub backbone: String,
    /// Which strategy.
    pub strategy: Strategy,
    /// Seed of everything random.
    pub seed: u64,
    /// The loop.
    pub train: TrainConfig,
    /// The NER side.
    pub ner: NerConfig,
    /// The classification side.
    pub tc: TcConfig,
    /// The family adapters, where the strategy has them.
    pub adapter: AdapterConfig,
    /// The conflict meter.
    pub conflict: ConflictConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of updates.
    pub steps: usize,
    /// What an update's batch is made of: `both` or `alternating`.
    pub composition: Composition,
    /// `adamw` or `sgd`.
    pub optimizer: OptimizerKind,
    /// `constant`, `linear` or `cosine`.
    pub schedule: Schedule,
    /// Share of the steps over which the learning rates rise.
    pub warmup: f32,
    /// Global norm that gradients are scaled down to; 0 for no clipping.
    pub clip_norm: f32,
    /// Peak learning rate of the backbone.
    pub learning_rate: f32,
    /// Weight decay of the backbone's matrices.
    pub weight_decay: f32,
    /// Whether word, position and type embeddings stay as they are.
    pub freeze_embeddings: bool,
    /// What matrix products are computed in. Weights, sums, losses and the optimizer are f32 in any case.
    pub precision: Compute,
    /// Examples of each family that are held out for validation, at most a tenth of them; 0 for no validation.
    pub validation: usize,
    /// Steps from one validation to the next.
    pub validate_every: usize,
    /// Validations without improvement after which the run ends with the best weights; 0 for never, and the last weights.
    pub patience: usize,
    /// Steps from one checkpoint to the next; 0 for one at the end or when the run is interrupted.
    pub checkpoint_every: usize,
    /// Checkpoints that are kept.
    pub keep_checkpoints: usize,
}

/// Whose batches an update takes, where a strategy trains both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Composition {
    /// A batch of each family.
    #[default]
    Both,
    /// A batch of one family, taking turns.
    Alternating,
}

impl Composition {
    /// Which of `families` take part in step `step`, counted from 1.
    pub(crate) fn of_step(self, step: usize, families: usize) -> Range<usize> {
        match self {
            Self::Alternating if families > 0 => {
                let turn = (step - 1) % families;
                turn..turn + 1
            }
            _ => 0..families,
        }
    }

    /// A family's batch is in one of this many steps.
    pub(crate) fn turns(self, families: usize) -> usize {
        if self == Self::Alternating { families.max(1) } else { 1 }
    }
}

/// The NER side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NerConfig {
    /// Concept corpora. A sentence comes from a file in proportion to its size times its weight.
    pub corpora: Vec<CorpusConfig>,
    /// Sentences per batch.
    pub batch: usize,
    /// Weight of the loss. Averaged over all token x concept pairs, most of them easy negatives, the loss has gradients some hundred times
    /// smaller than InfoNCE's, which the default makes up for in part.
    pub weight: f32,
    /// Factor of the cosine between token and concept.
    pub scale: f32,
    /// Added to the score of token and concept.
    pub bias: f32,
    /// Peak learning rate of the two projections.
    pub projection_learning_rate: f32,
    /// Weight decay of the projections.
    pub projection_weight_decay: f32,
    /// Schedule of the projections; `None`: that of `train`.
    pub projection_schedule: Option<Schedule>,
    /// Warm-up of the projections; `None`: that of `train`.
    pub projection_warmup: Option<f32>,
}

/// The classification side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcConfig {
    /// Pair corpora. A file's weight multiplies that of its sources.
    pub corpora: Vec<CorpusConfig>,
    /// Pairs per batch.
    pub batch: usize,
    /// Texts that are embedded at a time, for batches whose activations do not fit into memory; 0 for all of the batch at once.
    pub chunk: usize,
    /// Weight of the loss.
    pub weight: f32,
    /// tau of InfoNCE.
    pub temperature: f32,
    /// How token vectors become text vectors.
    pub pooling: Pooling,
    /// Sources are drawn in proportion to size^source_exponent.
    pub source_exponent: f64,
}

/// The family adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// k: the last k layers carry adapters; 0 means a third of the layers.
    pub layers: usize,
    /// Modules of these layers.
    pub modules: Vec<Module>,
    /// r.
    pub rank: usize,
    /// alpha.
    pub alpha: f32,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Schedule; `None`: that of `train`.
    pub schedule: Option<Schedule>,
    /// Warm-up; `None`: that of `train`.
    pub warmup: Option<f32>,
}

/// The conflict meter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConflictConfig {
    /// Measure at every so many steps where both families' gradients meet on the shared weights; 0 for never. It changes nothing of
    /// the training.
    pub every: usize,
}

impl Default for PrefinetuneConfig {
    fn default() -> Self {
        Self {
            backbone: "sentence-transformers/all-MiniLM-L6-v2".into(),
            strategy: Strategy::Tpl,
            seed: 0,
            train: TrainConfig::default(),
            ner: NerConfig::default(),
            tc: TcConfig::default(),
            adapter: AdapterConfig::default(),
            conflict: ConflictConfig::default(),
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            composition: Composition::Both,
            optimizer: OptimizerKind::AdamW,
            schedule: Schedule::Linear,
            warmup: 0.1,
            clip_norm: 1.0,
            learning_rate: 5e-5,
            weight_decay: 0.01,
            freeze_embeddings: false,
            precision: Compute::Auto,
            validation: 0,
            validate_every: 100,
            patience: 0,
            checkpoint_every: 500,
            keep_checkpoints: 2,
        }
    }
}

impl Default for NerConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 32,
            weight: 30.0,
            scale: 10.0,
            bias: -4.0,
            projection_learning_rate: 1e-3,
            projection_weight_decay: 0.0,
            projection_schedule: None,
            projection_warmup: None,
        }
    }
}

impl Default for TcConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 64,
            chunk: 0,
            weight: 1.0,
            temperature: 0.05,
            pooling: Pooling::Mean,
            source_exponent: 0.5,
        }
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            layers: 0,
            modules: Module::ALL.to_vec(),
            rank: 8,
            alpha: 16.0,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            schedule: None,
            warmup: None,
        }
    }
}

impl TrainConfig {
    /// Schedule and steps of warm-up of parameters that may have their own.
    pub(crate) fn pace(&self, schedule: Option<Schedule>, warmup: Option<f32>) -> (Schedule, usize) {
        (schedule.unwrap_or(self.schedule), (warmup.unwrap_or(self.warmup) * self.steps as f32) as usize)
    }
}

impl AdapterConfig {
    /// The adapter's shape on an encoder of L layers.
    pub fn lora(&self, encoder_layers: usize) -> LoraConfig {
        let layers = if self.layers == 0 { LoraConfig::for_layers(encoder_layers).layers } else { self.layers };
        LoraConfig { layers, modules: self.modules.clone(), rank: self.rank, alpha: self.alpha }
    }
}

impl PrefinetuneConfig {
    /// Reads a TOML file and applies overrides of the form `key=value`, `train.steps=200`.
    ///
    /// # Errors
    /// [`TrainError`] for a file that cannot be read or parsed, an unknown key (naming the nearest known one), or a value that is
    /// out of range.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TrainError::ConfigFile { path: path.to_path_buf(), source })?;
        let mut config = parse::parse(&text, &path.display().to_string(), overrides)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        for corpus in config.ner.corpora.iter_mut().chain(&mut config.tc.corpora) {
            let beside = directory.join(&corpus.path);
            if beside.exists() {
                corpus.path = beside;
            }
        }
        if let Some(beside) = directory.join(&config.backbone).to_str().filter(|beside| Path::new(beside).exists()) {
            config.backbone = beside.into();
        }
        Ok(config)
    }

    /// The same configuration with every value that follows another one spelled out, so that it shows all keys.
    fn spelled_out(&self) -> Self {
        let (mut config, train) = (self.clone(), &self.train);
        for (schedule, warmup) in [
            (&mut config.ner.projection_schedule, &mut config.ner.projection_warmup),
            (&mut config.adapter.schedule, &mut config.adapter.warmup),
        ] {
            schedule.get_or_insert(train.schedule);
            warmup.get_or_insert(train.warmup);
        }
        config
    }

    /// The configuration as TOML: every value but those that follow another one, which are left out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| unreachable!("plain values always serialise: {error}"))
    }
}
