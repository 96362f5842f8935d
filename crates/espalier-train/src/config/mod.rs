//! The configuration of a run of pretraining or pre-finetuning: one TOML file with every setting.

mod check;
mod encoder;
mod objectives;
mod parse;
mod tc;
mod train;

pub(crate) use check::{BATCH_RULE, BATCHES, RANK_RULE, RANKS};
pub use encoder::{AdapterConfig, ScratchConfig, StitchConfig};
pub use objectives::{
    ConceptEncoderKind, DistillConfig, DistillLossKind, MlmConfig, NerConfig, NerObjective,
};
pub(crate) use parse::RENAMED_KEYS;
pub use tc::{TcConfig, TcDistillConfig};
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

/// The value of `backbone` for a randomly initialized encoder.
pub const SCRATCH: &str = "scratch";

/// The settings of a run. Settings that a file leaves out have the values of
/// [`PrefinetuneConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PrefinetuneConfig {
    /// The encoder to start from: a directory or a hub id, or [`SCRATCH`] for a randomly
    /// initialized one. Relative paths are resolved as those of corpora
    /// ([`PrefinetuneConfig::read`]).
    pub backbone: String,
    /// The strategy.
    pub strategy: Strategy,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The training loop.
    pub train: TrainConfig,
    /// The NER objective.
    pub ner: NerConfig,
    /// The classification objective.
    pub tc: TcConfig,
    /// Masked language modelling.
    pub mlm: MlmConfig,
    /// The shape of the encoder, if `backbone` is [`SCRATCH`].
    pub scratch: ScratchConfig,
    /// The family adapters, for strategies that have them.
    pub adapter: AdapterConfig,
    /// The stitches of cross-stitch.
    pub stitch: StitchConfig,
    /// The conflict meter.
    pub conflict: ConflictConfig,
}

/// The settings of the conflict meter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConflictConfig {
    /// The number of steps from one measurement to the next; 0 for none. Only strategies that train
    /// the shared weights with both families are measured. Measuring does not change the training.
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

/// The largest configuration that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a file or pipe of at most [`MAX_BYTES`].
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64;
    match length > MAX_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("a configuration has at most {MAX_BYTES} bytes"),
        )),
        false => Ok(text),
    }
}

impl PrefinetuneConfig {
    /// Reads a TOML file and applies overrides of the form `key=value`.
    ///
    /// Relative paths are relative to the directory of the file if they exist there, otherwise to
    /// the current directory.
    ///
    /// ```
    /// use espalier_train::PrefinetuneConfig;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("run.toml");
    /// std::fs::write(&path, "strategy = \"tpl\"\n[train]\nsteps = 1000\n")?;
    /// let config = PrefinetuneConfig::read(&path, &["train.steps=20".into()])?;
    /// assert_eq!((config.strategy.name, config.train.steps), ("tpl", 20));
    ///
    /// let error = PrefinetuneConfig::read(&path, &["train.step=20".into()]).unwrap_err();
    /// assert!(error.to_string().contains("did you mean \"train.steps\"?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError`] for a file that cannot be read or parsed, and for an unknown key (with the
    /// most similar known one). Values are checked by [`PrefinetuneConfig::check`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = read_text(path)
            .map_err(|cause| TrainError::ConfigFile { path: path.to_path_buf(), cause })?;
        let mut config = parse::parse(&text, &path.display().to_string(), overrides)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        for path in config.all_paths_mut() {
            let resolved = directory.join(&*path);
            if resolved.exists() {
                *path = resolved;
            }
        }
        for model in config.models_mut() {
            let resolved = directory.join(&*model);
            if let Some(resolved) = resolved.to_str().filter(|path| Path::new(path).exists()) {
                *model = resolved.into();
            }
        }
        Ok(config)
    }

    /// The corpora of an objective.
    pub fn corpora(&self, objective: ObjectiveKind) -> &[CorpusConfig] {
        match objective {
            ObjectiveKind::Ner => &self.ner.corpora,
            ObjectiveKind::Tc => &self.tc.corpora,
            ObjectiveKind::Mlm => &self.mlm.corpora,
        }
    }

    /// Checks the records of all corpora, each in the format that its objective needs.
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

    /// Whether the run starts from a randomly initialized encoder.
    pub fn starts_from_scratch(&self) -> bool {
        self.backbone == SCRATCH
    }

    /// All files and directories in the configuration, except encoders.
    pub(crate) fn all_paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let corpora =
            self.ner.corpora.iter_mut().chain(&mut self.tc.corpora).chain(&mut self.mlm.corpora);
        let tokenizer =
            Some(&mut self.scratch.tokenizer).filter(|path| !path.as_os_str().is_empty());
        let paths = corpora.map(|corpus| &mut corpus.path).chain(tokenizer);
        let of_ner = self.ner.teacher_cache.iter_mut().chain(&mut self.ner.distill.adapter);
        paths.chain(of_ner).chain(&mut self.tc.teacher_cache)
    }

    /// All encoders in the configuration: directories, files or hub ids.
    pub(crate) fn models_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let scratch = self.starts_from_scratch();
        let backbone = Some(&mut self.backbone).filter(|_| !scratch);
        backbone.into_iter().chain(&mut self.ner.teacher).chain(&mut self.tc.teacher)
    }

    /// The same configuration with all optional values filled in, so that it has every key.
    fn with_all_keys(&self) -> Self {
        let (mut config, train) = (self.clone(), &self.train);
        let ner = &mut config.ner;
        ner.objective.get_or_insert(self.ner.objective());
        ner.weight.get_or_insert(self.ner.weight());
        ner.teacher.get_or_insert_default();
        ner.teacher_cache.get_or_insert_default();
        ner.distill.adapter.get_or_insert_default();
        let tc = &mut config.tc;
        tc.teacher.get_or_insert_default();
        tc.teacher_precision.get_or_insert_default();
        tc.teacher_cache.get_or_insert_default();
        let distill = tc.distill.insert(self.tc.distill());
        let groups = [
            &mut ner.projection_group,
            &mut ner.concept_group,
            &mut distill.projection_group,
            &mut config.adapter.group,
        ];
        for group in groups {
            group.schedule.get_or_insert(train.schedule);
            group.warmup.get_or_insert(train.warmup);
        }
        config
    }

    /// The configuration as TOML. Optional values that are `None` are left out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self)
            .unwrap_or_else(|error| unreachable!("every value can be serialized: {error}"))
    }
}
