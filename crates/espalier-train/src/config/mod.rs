//! The configuration of a pre-finetuning run: one TOML file is the whole truth of it.

mod check;
mod encoder;
mod objectives;
mod parse;
mod train;

pub(crate) use check::{BATCH_RULE, BATCHES, RANK_RULE, RANKS};
pub use encoder::{AdapterConfig, ScratchConfig, StitchConfig};
pub use objectives::{
    ConceptEncoderKind, DistillConfig, DistillLossKind, MlmConfig, NerConfig, NerObjective,
    TcConfig,
};
pub(crate) use parse::FORMER;
pub use train::{Composition, GroupConfig, TrainConfig};

use crate::error::{Result, TrainError};
use crate::strategy::{ObjectiveKind, Strategy};
use espalier_data::CorpusConfig;
use espalier_data::check::{FileKind, Report, check_file};
use espalier_encoder::Tokenizer;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The value of `backbone` that asks for an encoder that has not learnt anything yet.
pub const SCRATCH: &str = "scratch";

/// Everything that decides a run. What a file leaves out has the default shown by
/// [`PrefinetuneConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrefinetuneConfig {
    /// The encoder to start from: a directory, a relative path counting as those of corpora, or a
    /// hub id; or [`SCRATCH`], for a fresh one.
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
    /// Measure at every so many steps where both families' gradients meet on the shared weights; 0
    /// for never. It changes nothing of the training.
    pub every: usize,
}

impl Default for PrefinetuneConfig {
    fn default() -> Self {
        Self {
            backbone: "sentence-transformers/all-MiniLM-L6-v2".into(),
            strategy: Strategy::TPL,
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

/// The most bytes of a configuration.
const LARGEST: u64 = 16 << 20;

/// The text of a file, or of a pipe, that ends.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)? as u64;
    match length > LARGEST {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("a configuration has at most {LARGEST} bytes"),
        )),
        false => Ok(text),
    }
}

impl PrefinetuneConfig {
    /// Reads a TOML file and applies overrides of the form `key=value`, `train.steps=200`.
    ///
    /// # Errors
    /// [`TrainError`] for a file that cannot be read or parsed, an unknown key (naming the nearest
    /// known one), or a value that is out of range.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = text_of(path)
            .map_err(|cause| TrainError::ConfigFile { path: path.to_path_buf(), cause })?;
        let mut config = parse::parse(&text, &path.display().to_string(), overrides)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        for path in config.all_paths_mut() {
            let beside = directory.join(&*path);
            if beside.exists() {
                *path = beside;
            }
        }
        for model in config.models_mut() {
            if let Some(beside) =
                directory.join(&*model).to_str().filter(|beside| Path::new(beside).exists())
            {
                *model = beside.into();
            }
        }
        Ok(config)
    }

    /// The files that an objective's data come from.
    pub fn corpora(&self, objective: ObjectiveKind) -> &[CorpusConfig] {
        match objective {
            ObjectiveKind::Ner => &self.ner.corpora,
            ObjectiveKind::Tc => &self.tc.corpora,
            ObjectiveKind::Mlm => &self.mlm.corpora,
        }
    }

    /// Checks the corpora of all objectives, each as what it is used for.
    pub fn check_corpora(&self, tokenizer: Option<&Tokenizer>) -> Vec<Report> {
        let sentences = match self.ner.objective() {
            NerObjective::Concepts => FileKind::Concepts,
            NerObjective::Distill => FileKind::Sentences,
        };
        let ner = self.ner.corpora.iter().map(|corpus| (corpus, sentences));
        let tc = self.tc.corpora.iter().map(|corpus| (corpus, FileKind::Pairs));
        let mlm = self.mlm.corpora.iter().map(|corpus| (corpus, FileKind::Texts));
        ner.chain(tc)
            .chain(mlm)
            .map(|(corpus, kind)| check_file(&corpus.path, Some(kind), tokenizer))
            .collect()
    }

    /// Whether the run begins with a fresh encoder.
    pub fn starts_from_scratch(&self) -> bool {
        self.backbone == SCRATCH
    }

    /// The files and directories that it names, but for encoders.
    pub(crate) fn all_paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let corpora =
            self.ner.corpora.iter_mut().chain(&mut self.tc.corpora).chain(&mut self.mlm.corpora);
        let tokenizer =
            Some(&mut self.scratch.tokenizer).filter(|path| !path.as_os_str().is_empty());
        let paths = corpora.map(|corpus| &mut corpus.path).chain(tokenizer);
        paths.chain(&mut self.ner.teacher_cache).chain(&mut self.ner.distill.adapter)
    }

    /// The encoders that it names: directories, files or hub ids.
    pub(crate) fn models_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let scratch = self.starts_from_scratch();
        Some(&mut self.backbone).filter(|_| !scratch).into_iter().chain(&mut self.ner.teacher)
    }

    /// The same configuration with every value that follows another one, or may be absent, spelled
    /// out, so that it shows all keys.
    fn spelled_out(&self) -> Self {
        let (mut config, train) = (self.clone(), &self.train);
        let ner = &mut config.ner;
        ner.objective.get_or_insert(self.ner.objective());
        ner.weight.get_or_insert(self.ner.weight());
        ner.teacher.get_or_insert_default();
        ner.teacher_cache.get_or_insert_default();
        ner.distill.adapter.get_or_insert_default();
        let groups = [&mut ner.projection_group, &mut ner.concept_group, &mut config.adapter.group];
        for group in groups {
            group.schedule.get_or_insert(train.schedule);
            group.warmup.get_or_insert(train.warmup);
        }
        config
    }

    /// The configuration as TOML: every value but those that follow another one, which are left
    /// out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self)
            .unwrap_or_else(|error| unreachable!("plain values always serialise: {error}"))
    }
}
