//! The configuration of a pre-finetuning run: one TOML file is the whole truth of it.

mod adapter;
mod check;
mod corpus;
mod mlm;
mod ner;
mod parse;
mod scratch;
mod stitch;
mod tc;
mod train;

pub use adapter::AdapterConfig;
pub use corpus::CorpusConfig;
pub use mlm::MlmConfig;
pub use ner::NerConfig;
pub use scratch::ScratchConfig;
pub use stitch::StitchConfig;
pub use tc::TcConfig;
pub use train::{Composition, TrainConfig};

use crate::error::{Result, TrainError};
use crate::objectives::Objective;
use crate::strategies::Strategy;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The value of `backbone` that asks for an encoder that has not learnt anything yet.
pub const SCRATCH: &str = "scratch";

/// Everything that decides a run. What a file leaves out has the default shown by [`PrefinetuneConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefinetuneConfig {
    /// The encoder to start from: a directory, a relative path counting as those of corpora, or a hub id; or [`SCRATCH`], for a fresh
    /// one.
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
    /// Masked language modelling.
    pub mlm: MlmConfig,
    /// The fresh encoder, if `backbone` asks for one.
    pub scratch: ScratchConfig,
    /// The family adapters, where the strategy has them.
    pub adapter: AdapterConfig,
    /// The units between two columns, where the strategy has them.
    pub stitch: StitchConfig,
    /// The conflict meter.
    pub conflict: ConflictConfig,
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
            mlm: MlmConfig::default(),
            scratch: ScratchConfig::default(),
            adapter: AdapterConfig::default(),
            stitch: StitchConfig::default(),
            conflict: ConflictConfig::default(),
        }
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
        for corpus in config.all_corpora_mut() {
            let beside = directory.join(&corpus.path);
            if beside.exists() {
                corpus.path = beside;
            }
        }
        let tokenizer = directory.join(&config.scratch.tokenizer);
        if !config.scratch.tokenizer.as_os_str().is_empty() && tokenizer.exists() {
            config.scratch.tokenizer = tokenizer;
        }
        let beside = directory.join(&config.backbone);
        if let Some(beside) = beside.to_str().filter(|_| !config.starts_from_scratch() && beside.exists()) {
            config.backbone = beside.into();
        }
        Ok(config)
    }

    /// The files that an objective's data come from.
    pub fn corpora(&self, objective: Objective) -> &[CorpusConfig] {
        match objective {
            Objective::Ner => &self.ner.corpora,
            Objective::Tc => &self.tc.corpora,
            Objective::Mlm => &self.mlm.corpora,
        }
    }

    /// Whether the run begins with a fresh encoder.
    pub fn starts_from_scratch(&self) -> bool {
        self.backbone == SCRATCH
    }

    /// All of them, of every objective.
    pub(crate) fn all_corpora_mut(&mut self) -> impl Iterator<Item = &mut CorpusConfig> {
        self.ner.corpora.iter_mut().chain(&mut self.tc.corpora).chain(&mut self.mlm.corpora)
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
