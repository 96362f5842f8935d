//! The configuration of a pre-finetuning run: one TOML file is the whole truth of it.

mod corpus;
mod parse;

pub use corpus::CorpusConfig;

use crate::error::{Result, TrainError};
use crate::optimizer::{OptimizerKind, Schedule};
use crate::strategies::Strategy;
use espalier_encoder::{Compute, Family, LoraConfig, Module, Pooling};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that decides a run. What a file leaves out has the default shown by [`PrefinetuneConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefinetuneConfig {
    /// The encoder to start from: a directory or a hub id.
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
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of updates; each draws one batch of each family trained.
    pub steps: usize,
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
}

/// The classification side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcConfig {
    /// Pair corpora. A file's weight multiplies that of its sources.
    pub corpora: Vec<CorpusConfig>,
    /// Pairs per batch.
    pub batch: usize,
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
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 200,
            optimizer: OptimizerKind::AdamW,
            schedule: Schedule::Linear,
            warmup: 0.1,
            clip_norm: 1.0,
            learning_rate: 5e-5,
            weight_decay: 0.01,
            freeze_embeddings: false,
            precision: Compute::Auto,
        }
    }
}

impl Default for NerConfig {
    fn default() -> Self {
        Self { corpora: Vec::new(), batch: 32, weight: 30.0, scale: 10.0, bias: -4.0, projection_learning_rate: 1e-3 }
    }
}

impl Default for TcConfig {
    fn default() -> Self {
        Self {
            corpora: Vec::new(),
            batch: 64,
            weight: 1.0,
            temperature: 0.05,
            pooling: Pooling::Mean,
            source_exponent: 0.5,
        }
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { layers: 0, modules: Module::ALL.to_vec(), rank: 8, alpha: 16.0, learning_rate: 1e-3, weight_decay: 0.01 }
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
        Ok(config)
    }

    /// The configuration as TOML, every value spelled out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| unreachable!("plain values always serialise: {error}"))
    }

    /// Checks the ranges of all values, and that the strategy's families have corpora.
    ///
    /// # Errors
    /// [`TrainError::ConfigValue`] naming the key, the value and the rule; [`TrainError::NoCorpus`].
    pub fn check(&self) -> Result<()> {
        let (train, ner, tc, adapter) = (&self.train, &self.ner, &self.tc, &self.adapter);
        for (key, value) in [
            ("train.learning_rate", train.learning_rate),
            ("train.weight_decay", train.weight_decay),
            ("train.clip_norm", train.clip_norm),
            ("ner.weight", ner.weight),
            ("ner.projection_learning_rate", ner.projection_learning_rate),
            ("tc.weight", tc.weight),
            ("adapter.learning_rate", adapter.learning_rate),
            ("adapter.weight_decay", adapter.weight_decay),
        ] {
            require(key, value, value.is_finite() && value >= 0.0, "it must be a number of at least 0")?;
        }
        for (key, value) in
            [("ner.scale", ner.scale), ("tc.temperature", tc.temperature), ("adapter.alpha", adapter.alpha)]
        {
            require(key, value, value.is_finite() && value > 0.0, "it must be a number above 0")?;
        }
        require("ner.bias", ner.bias, ner.bias.is_finite(), "it must be a number")?;
        require("tc.source_exponent", tc.source_exponent, tc.source_exponent.is_finite(), "it must be a number")?;
        require("train.warmup", train.warmup, (0.0..=1.0).contains(&train.warmup), "it must be between 0 and 1")?;
        let trains = train.precision != Compute::Int8;
        require("train.precision", train.precision, trains, "int8 is for inference; give auto, f32 or bf16")?;
        require("train.steps", train.steps, train.steps > 0, "it must be at least 1")?;
        require("ner.batch", ner.batch, ner.batch > 0, "it must be at least 1")?;
        require("tc.batch", tc.batch, tc.batch > 1, "it must be at least 2: the other pairs are the negatives")?;
        require("adapter.rank", adapter.rank, (1..=1024).contains(&adapter.rank), "it must be between 1 and 1024")?;
        require("adapter.modules", "empty", !adapter.modules.is_empty(), "it must name at least one module")?;
        for (key, corpora) in [("ner.corpora", &ner.corpora), ("tc.corpora", &tc.corpora)] {
            for weight in corpora.iter().map(|corpus| corpus.weight) {
                require(key, weight, weight.is_finite() && weight > 0.0, "weights must be above 0")?;
            }
        }
        for &family in self.strategy.families() {
            let (corpora, key) = match family {
                Family::Ner => (&ner.corpora, "ner.corpora"),
                Family::Tc => (&tc.corpora, "tc.corpora"),
            };
            if corpora.is_empty() {
                return Err(TrainError::NoCorpus { strategy: self.strategy.name().into(), family, key });
            }
        }
        Ok(())
    }
}

fn require(key: &'static str, value: impl std::fmt::Display, holds: bool, rule: &'static str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::ConfigValue { key, value: value.to_string(), rule }),
    }
}
